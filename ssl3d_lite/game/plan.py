"""What is played: the rounds in their order, how each network is trained, and what is told.

With these settings a network of this size learns its puzzle in seconds on two cores, but is not
always right; and a person sees something in a patch of a head of 48 voxels an edge.
"""

from dataclasses import dataclass
from typing import Any

FILTERS = (8, 16, 32)


@dataclass(frozen=True)
class PlannedRound:
    """One round: its task, and how the network learns it."""

    task: str
    title: str
    before: str
    steps: int
    batch: int
    settings: dict[str, Any]
    norm: str = "batch"
    questions: int | None = None
    """Questions in this round at most; None for as many as are wanted."""
    learning_rate: float = 3e-3


PLAN = (
    PlannedRound(
        "rpl",
        "Where does it lie?",
        "A head is cut into 27 cells, three along each axis, and a patch is taken from each. You "
        "get the patch of the centre and one of the 26 others, just as the network does.",
        *(100, 8),
        {"patch": 12, "jitter": 4, "queries_per_scan": 13},
    ),
    PlannedRound(
        "rotation",
        "Which way is up?",
        "A head was turned by quarters of a circle about one axis, or not at all. There are ten "
        "ways. Whoever knows what is front, left and top in a head can say which it was.",
        *(120, 4),
        {"crop_size": 40, "rotations_per_scan": 4},
    ),
    PlannedRound(
        "masked",
        "What was hidden?",
        "Blocks of a head are hidden. The network rebuilds them from what is left, and its answer "
        "is the option that is most like what it has rebuilt.",
        *(40, 4),
        {"crop_size": 48, "block_size": 12, "mask_ratio": 0.4, "decoder_channels": 8},
        "instance",
    ),
    PlannedRound(
        "cpc",
        "What comes next?",
        "Patches are read from the back of the head to the front. From a few of them the network "
        "predicts what a patch further on will be like: not its voxels, but its features.",
        *(40, 4),
        {
            **{"patch": 16, "stride": 8, "jitter": 0, "prediction_steps": (3,)},
            **{"embedding_dim": 32, "hidden": 64},
        },
        "instance",
    ),
    PlannedRound(
        "jigsaw",
        "Put it together",
        "The 27 pieces of a head are shuffled: three layers, nine pieces in each. Between them lie "
        "gaps, so that lines that run on do not give them away.",
        *(100, 8),
        {"patch": 12, "jitter": 3, "permutations": 100},
        questions=1,
    ),
)
UNFAIR = PlannedRound(
    "rotation",
    "Which way is up, once more",
    "The same puzzle again, with another network. Look well at what you are given. Something is "
    "unfair here, and it makes the puzzle easy.",
    *(200, 4),
    {"crop_size": 40, "rotations_per_scan": 6},
)
UNFAIR_AFTER = (
    "There is a bright L in a corner of every volume. It was burnt in before the turn and turns "
    "with the volume, so it tells the turn, and nothing else is needed: all volumes of this round "
    "but the first were noise. On noise with the L this network was right in {noise}, on heads "
    "without the L in {heads}; guessing has {chance}.\n\n"
    "Such an answer that needs no understanding is called a shortcut. Marks that technicians lay "
    "on the patient have fooled networks for chest X-rays in this way (Zech et al. 2018). So a "
    "high score of a puzzle is no evidence that a network knows anatomy. Notebook 08 builds more "
    "shortcuts, and shows how they are caught."
)
TITLE = "Play against the network"
TEXT = (
    "Before it sees a single label, a network can learn from scans by solving puzzles that are "
    "made of them. Here are five such puzzles, and one that is unfair. You get the same questions "
    "as the network, about heads that it has never seen, and chance plays too. It takes about ten "
    "minutes."
)
ABOUT = (
    "The heads are virtual, so no patient is shown: each is a warp of one template, with a painted "
    "tumour, on T1-weighted MRI of {edge} voxels an edge. Of {cases} heads, {trained} were there "
    "to learn from, and the questions are about others. As all are warps of one template, they are "
    "more alike than people are: on real heads such small networks would do worse."
)
