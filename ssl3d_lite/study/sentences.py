"""A study's verdicts in plain words. Every number in them comes from the rows."""

from .arms import parse_arm
from .claims import Claim, Finding, savings_of
from .comparison import Comparison
from .results import Results
from .trials import BETTER_FEATURES, FEW_LABELS, PRETRAINED_ELSEWHERE
from .verdicts import NOT_CLAIMED

SMALL_P = 0.001  # a p below it is only said to be
SAID = {
    "holds": "holds",
    "does not hold": "does not hold",
    "undecided": "is undecided",
    "cannot tell": "cannot be told",
}
NOT_JUDGED = "is shown and not judged"  # what the plan does not claim


def overall(results: Results, claim: Claim) -> str:
    """A claim in a sentence that counts arms."""
    name = claim.name[0].upper() + claim.name[1:]
    if claim.untested:
        return f"{name}: not put to the test, as {claim.untested}."
    compared = [f.comparison for f in claim.findings if f.comparison]
    tried = [each for each in compared if each.differences]
    if not tried:
        return f"{name}: nothing to compare yet."
    parts = [
        f"{said} for {len(names)} ({', '.join(names)})"
        for said in (*SAID.values(), NOT_JUDGED)
        if (names := [each.arm for each in tried if in_overall(each) == said])
    ]
    of = "Of 1 arm" if len(tried) == 1 else f"Of {len(tried)} arms"
    pairs = [len(each.differences) for each in tried]
    text = f"{name}: {of} it {series(parts)}, at {pair_range(results, pairs)}."
    return " ".join([text, *reservations(claim)])


def in_overall(compared: Comparison) -> str:
    """A comparison's verdict as the sentence over all arms has it."""
    return NOT_JUDGED if NOT_CLAIMED in compared.why else SAID[compared.verdict]


def stated(claim: Claim) -> str:
    """What is claimed of an arm, and whether the plan claims it."""
    return f"{'Claimed' if claim.planned else 'Shown, not claimed'}: {claim.trial.statement}"


def reservations(claim: Claim) -> list[str]:
    """What to know before one believes the verdicts of a claim."""
    unknown = shared_reasons(claim)
    small = [f.arm for f in claim.findings if f.comparison and gain_too_small(f.comparison)]
    alike = [f.arm for f in claim.findings if f.may_be_any_training]
    still = [f.arm for f in claim.findings if f.may_be_the_warm_up]
    alone = [f.arm for f in claim.findings if f.comparison is None]
    blank = [f.arm for f in claim.findings if f.comparison and not f.comparison.differences]
    return [
        *([] if claim.planned else ["It is not among the claims of the plan."]),
        *([f"This experiment cannot tell, because {unknown}."] if unknown else []),
        *([f"Not clearly ahead of any training at all: {', '.join(alike)}."] if alike else []),
        *([f"Not clearly ahead of the warm-up by itself: {', '.join(still)}."] if still else []),
        *([f"Ahead by less than is worth having: {', '.join(small)}."] if small else []),
        *([f"Without anything to compare with: {', '.join(alone)}."] if alone else []),
        *([f"Without a pair of scores: {', '.join(blank)}."] if blank else []),
    ]


def shared_reasons(claim: Claim) -> str:
    """Why none of the arms can be judged, in so far as it is the same for all."""
    compared = [f.comparison for f in claim.findings if f.comparison and f.comparison.differences]
    unknown = [each.why for each in compared if in_overall(each) == SAID["cannot tell"]]
    if not unknown or len(unknown) < len(compared):
        return ""
    return "; ".join(each for each in unknown[0] if all(each in why for why in unknown))


def each_arm(results: Results, claim: Claim) -> list[str]:
    """A claim arm by arm; then what controls gain in the same way, and how far two random starts
    lie apart."""
    trained = "Any training at all" if claim.trial.control == "collapsed" else "Without pretraining"
    warm = "The warm-up by itself"
    return [
        *(finding_sentence(results, claim, finding) for finding in claim.findings),
        *(
            f"{warm if parse_arm(compared.arm).warm else trained}: {measured(results, compared)}"
            for compared in claim.controls
        ),
        *(
            f"Noise: two random starts of {each.arm} lie {each.mean:.3f} apart on average "
            f"({each.seeds} seeds; each has its own labelled scans too)."
            for each in claim.noise
        ),
    ]


def finding_sentence(results: Results, claim: Claim, finding: Finding) -> str:
    """What was found for one arm."""
    compared = finding.comparison
    if compared is None:
        return f"{finding.arm}: the study has no arm to compare it with here."
    parts = [sentence(results, compared, known=shared_reasons(claim))]
    if claim.name == BETTER_FEATURES:
        beside = finding.floor and finding.floor.differences
        parts.append(
            f"Against place alone: {brief(finding.floor)}."
            if beside
            else "Place alone was not scored beside it."
        )
    if finding.may_be_any_training and finding.control:
        parts.append(
            f"But it is not clearly ahead of {finding.control.against}, which was trained too and "
            f"learnt nothing: {brief(finding.control)}. Any training at all may do this."
        )
    if finding.warmed and finding.warmed.differences:
        doubt = " So the gain may be the warm-up's." if finding.may_be_the_warm_up else ""
        parts.append(
            f"Against {finding.warmed.against}, which has the warm-up too: "
            f"{brief(finding.warmed)}.{doubt}"
        )
    for other in finding.more:
        if claim.name == PRETRAINED_ELSEWHERE:
            parts.append(f"Beside pretraining on the benchmark itself: {measured(results, other)}")
    if claim.name == BETTER_FEATURES and finding.more:
        singles = zip(claim.trial.where.labels, finding.more, strict=True)
        parts.append(
            f"By number of labels: {'; '.join(f'{n} {brief(each)}' for n, each in singles)}."
        )
    if claim.name == FEW_LABELS:
        parts.append(savings_sentence(results, finding))
    lost = len(results.failed(claim.trial.where.protocol, finding.arm))
    if lost:
        parts.append(f"{lost} of its runs broke off.")
    return " ".join(part for part in parts if part)


def sentence(results: Results, compared: Comparison, known: str = "") -> str:
    """A comparison with its verdict: the mean difference, its interval, and what failed.

    Args:
        known: reasons that were given before, and are not said again.
    """
    if not compared.differences:
        return f"{compared.arm} against {compared.against}: no pair of scores yet."
    said = measured(results, compared).removesuffix(".")
    verdict = "shown, not judged" if NOT_CLAIMED in compared.why else compared.verdict
    among = "" if compared.p is None else f" (one-sided p {p_value(compared.p)} after Holm)"
    why = "; ".join(each for each in compared.why if each != NOT_CLAIMED and each not in known)
    because = f", because {why}" if why else ""
    parts = [f"{said}: {verdict}{among}{because}."]
    least = f"{compared.min_effect:g}"
    if gain_too_small(compared):
        parts.append(f"The gain is smaller than the {least} that is worth having.")
    if compared.verdict == "does not hold":
        behind = compared.high is not None and compared.high < 0
        parts.append("It is behind." if behind else f"A gain of {least} can be ruled out.")
    parts += [failures_sentence(compared), unpaired_sentence(compared)]
    if compared.detectable is not None:
        parts.append(f"It could have found a gain of {compared.detectable:.3f} four times in five.")
    return " ".join(part for part in parts if part)


def measured(results: Results, compared: Comparison) -> str:
    """A comparison without a verdict."""
    start = f"{compared.arm} against {compared.against}: "
    at = pair_range(results, [len(compared.differences)])
    if compared.mean is None:
        return f"{start}in none of {at} did both learn."
    where = ", among pairs in which both learnt" if compared.lost else ""
    if compared.interval is None:
        return f"{start}{compared.mean:+.3f} in one pair{where}, which shows nothing."
    over = "over seeds alone"
    if compared.estimate:
        at = f"{at} and {compared.estimate.cases} test patients"
        over = "over seeds and patients"
    return (
        f"{start}{compared.mean:+.3f} on average at {at}{where} (95 % interval {over} "
        f"{compared.low:+.3f} to {compared.high:+.3f})."
    )


def failures_sentence(compared: Comparison) -> str:
    """How often each arm failed, and what the mean over all pairs is."""
    failed = compared.failures
    if failed is None or compared.overall is None:
        return ""
    if not compared.lost:
        return f"No run failed: all {failed.pairs} pairs beat place alone."
    return (
        f"Failed, that is not better than place alone: {compared.arm} in {failed.ours} of "
        f"{failed.pairs} pairs, {compared.against} in {failed.theirs} (exact McNemar p "
        f"{p_value(failed.p)}). Over all pairs: {compared.overall:+.3f}."
    )


def unpaired_sentence(compared: Comparison) -> str:
    said = []
    if compared.unpaired:
        said.append(f"Left out: {many(compared.unpaired, 'score')} that only one side has.")
    if compared.uneven:
        said.append("Not every pair has scores at every number of labels.")
    return " ".join(said)


def savings_sentence(results: Results, finding: Finding) -> str:
    """With how many fewer labels the same scores are reached. That fewer are shown is said only
    where the arm is ahead at few labels, so it asks for no level of its own."""
    found = None if finding.verdict == "cannot tell" else savings_of(results, finding.arm)
    if found is None:
        return ""
    saved, seeds, patients = found
    shown = "" if finding.verdict == "holds" and saved.low > 1 else "not "
    low, middle, high = (
        times(each, saved.widest) for each in (saved.low, saved.factor, saved.high)
    )
    return (
        f"For the same scores scratch needs {middle} times as many labels (95 % interval {low} to "
        f"{high}, {seeds} seeds and {patients} patients drawn again): fewer labels are {shown}"
        "shown."
    )


def times(factor: float, widest: float) -> str:
    """A ratio of labels; none beyond the numbers that were tried can be seen."""
    nearly = 1 + 1e-6
    bound = "at least " if factor * nearly > widest else "at most " * (factor < nearly / widest)
    return f"{bound}{factor:.2f}"


def brief(compared: Comparison | None) -> str:
    """A difference and its interval, as a table's cell has it."""
    if compared is None or compared.mean is None:
        return "–"
    if compared.interval is None:
        return f"{compared.mean:+.3f} (one pair)"
    return f"{compared.mean:+.3f} ({compared.low:+.3f} to {compared.high:+.3f})"


def p_value(p: float) -> str:
    return f"below {SMALL_P:g}" if p < SMALL_P else f"{p:.3f}"


def gain_too_small(compared: Comparison) -> bool:
    """Whether there is a gain, but one worth having can be ruled out."""
    if compared.verdict != "holds" or compared.high is None:
        return False
    return compared.high < compared.min_effect


def pair_range(results: Results, counts: list[int]) -> str:
    """How many pairs there are, of how many the study will have."""
    least, most = min(counts), max(counts)
    number = f"{most}" if least == most else f"{least} to {most}"
    of = f" of {results.planned}" if least < results.planned else ""
    kind = "pairs of seed and fold" if len(results.study.folds) > 1 else "paired seeds"
    if f"{number}{of}" == "1":
        kind = kind.replace("pairs", "pair").replace("seeds", "seed")
    return f"{number}{of} {kind}"


def many(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def series(parts: list[str]) -> str:
    """One, two and three."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
