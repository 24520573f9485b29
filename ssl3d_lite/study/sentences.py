"""A study's verdicts in plain words. Every number in them comes from the rows."""

from .claims import Claim, Finding
from .results import Results
from .statistics import Comparison


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
        for said, verdict in (
            ("holds", "holds"),
            ("does not hold", "does not hold"),
            ("is undecided", "undecided"),
        )
        if (names := [each.arm for each in tried if each.verdict == verdict])
    ]
    of = "Of 1 arm" if len(tried) == 1 else f"Of {len(tried)} arms"
    pairs = [len(each.differences) for each in tried]
    text = f"{name}: {of} it {series(parts)}, at {pair_range(results, pairs)}."
    return " ".join([text, *reservations(claim)])


def reservations(claim: Claim) -> list[str]:
    """What to know before one believes the verdicts of a claim."""
    small = [f.arm for f in claim.findings if f.comparison and gain_too_small(f.comparison)]
    alike = [f.arm for f in claim.findings if f.indistinguishable_from_control]
    alone = [f.arm for f in claim.findings if f.comparison is None]
    blank = [f.arm for f in claim.findings if f.comparison and not f.comparison.differences]
    return [
        *([f"Not clearly ahead of the collapsed control: {', '.join(alike)}."] if alike else []),
        *([f"Ahead by less than is worth having: {', '.join(small)}."] if small else []),
        *([f"Without anything to compare with: {', '.join(alone)}."] if alone else []),
        *([f"Without a pair of scores: {', '.join(blank)}."] if blank else []),
    ]


def each_arm(results: Results, claim: Claim) -> list[str]:
    """A claim arm by arm; and last what controls that learn nothing gain in the same way."""
    noise = "Noise" if claim.trial.noise == "collapsed" else "Without any pretraining"
    return [
        *(finding_sentence(results, claim, finding) for finding in claim.findings),
        *(f"{noise}: {sentence(results, compared)}" for compared in claim.noise),
    ]


def finding_sentence(results: Results, claim: Claim, finding: Finding) -> str:
    """What was found for one arm."""
    compared = finding.comparison
    if compared is None:
        return f"{finding.arm}: the study has no arm to compare it with here."
    parts = [sentence(results, compared)]
    if finding.noise and finding.indistinguishable_from_control:
        parts.append(
            f"But it is not clearly ahead of {finding.noise.against}, which learns nothing: "
            f"{brief(finding.noise)}. This may be noise."
        )
    for other in finding.more:
        if claim.name == "transfer":
            parts.append(f"Beside pretraining on the benchmark itself: {sentence(results, other)}")
    if claim.name == "better features" and finding.more:
        singles = zip(claim.trial.where.labels, finding.more, strict=True)
        listed = (f"{n} {brief(c)}, {c.verdict}" for n, c in singles)
        parts.append(f"By number of labels: {'; '.join(listed)}.")
    if finding.saved:
        fewest, reached, enough = finding.saved
        reached_with = results.labelled(enough) if enough else "none of the numbers tried"
        parts.append(
            f"With {results.labelled(fewest)} it reaches {reached:.3f} on average; "
            f"{compared.against} reaches that with {reached_with}."
        )
    lost = len(results.failed(claim.trial.where.protocol, finding.arm))
    if lost:
        parts.append(f"{lost} of its runs failed.")
    return " ".join(parts)


def sentence(results: Results, compared: Comparison) -> str:
    """A comparison: the mean difference, its interval, the number of pairs, the verdict."""
    pairs = len(compared.differences)
    start = f"{compared.arm} against {compared.against}: "
    if not pairs:
        return start + "no pair of scores yet, so undecided."
    at = pair_range(results, [pairs])
    parts = [f"{start}{compared.mean:+.3f} in one pair, which shows nothing: undecided at {at}."]
    if pairs > 1:
        parts = [
            f"{start}{compared.mean:+.3f} on average (95 % interval {compared.low:+.3f} to "
            f"{compared.high:+.3f}): {compared.verdict} at {at}."
        ]
    least = f"{compared.min_effect:g}"
    if gain_too_small(compared):
        parts.append(f"The gain is smaller than the {least} that is worth having.")
    if compared.verdict == "does not hold":
        behind = compared.high is not None and compared.high < 0
        parts.append("It is behind." if behind else f"A gain of {least} can be ruled out.")
    if compared.unpaired:
        parts.append(f"Left out: {many(compared.unpaired, 'score')} that only one side has.")
    if compared.uneven:
        parts.append("Not every pair has scores at every number of labels.")
    return " ".join(parts)


def brief(compared: Comparison | None) -> str:
    """A difference and its interval, as a table's cell has it."""
    if compared is None or not compared.differences:
        return "–"
    if compared.interval is None:
        return f"{compared.mean:+.3f} (one pair)"
    return f"{compared.mean:+.3f} ({compared.low:+.3f} to {compared.high:+.3f})"


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
