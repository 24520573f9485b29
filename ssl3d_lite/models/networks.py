"""Networks for a cohort: whatever its labels are, one function makes what learns them."""

from ssl3d_lite.data.cohort import Cohort

from .classifier import Classifier, make_classifier
from .encoders import Encoder
from .unet import UNet, make_unet


def make_network(encoder: Encoder, cohort: Cohort, seed: int = 0) -> UNet | Classifier:
    """A network about ``encoder`` that learns the cohort's labels.

    Label maps are learnt by a U-Net, grades by a classifier. The encoder is taken, not copied. All
    other weights depend on ``seed`` alone: two networks of one seed differ in their encoders only.

    Raises:
        InputError: the cohort has label maps, but the encoder cannot be that of a U-Net.

    Example::

        network = make_network(make_encoder(cohort), cohort, seed=0)
        logits = network(cohort.images([0]))  # (1, class, *space)
    """
    classes = len(cohort.label_names)
    if cohort.ordinal:
        return make_classifier(encoder, classes, seed)
    return make_unet(encoder, classes, seed)
