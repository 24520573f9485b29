"""Networks for a cohort: whatever its labels are, one function makes what learns them."""

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.errors import InputError

from .classifier import Classifier, make_classifier
from .encoders import Encoder
from .foreign import check_own
from .unet import UNet, UNetDecoder, make_unet


@takes_cohort
def make_network(
    encoder: Encoder, cohort: Cohort, seed: int = 0, decoder: UNetDecoder | None = None
) -> UNet | Classifier:
    """A network about ``encoder`` that learns the cohort's labels.

    Label maps are learnt by a U-Net, grades by a classifier. The encoder is taken, not copied. All
    other weights depend on ``seed`` alone: two networks of one seed differ in their encoders only.

    Args:
        decoder: of a U-Net, one that was pretrained with the encoder; its weights are copied.

    Raises:
        InputError: the encoder was made elsewhere; the cohort has label maps, but the encoder
            cannot be that of a U-Net; or it has grades, which no decoder learns.

    Example::

        network = make_network(make_encoder(cohort), cohort, seed=0)
        logits = network(cohort.images([0]))  # (1, class, *space)
    """
    check_own(encoder, "fine-tuned")
    classes = len(cohort.label_names)
    if not cohort.ordinal:
        return make_unet(encoder, classes, seed, decoder)
    if decoder is not None:
        raise InputError(
            f"{cohort.name} has grades, and a network of grades has no decoder; transfer the "
            "encoder alone"
        )
    return make_classifier(encoder, classes, seed)
