# The room's main names. Read by type checkers and, at run time, by lazy_loader.

from . import ordinal as ordinal
from .classifier import Classifier as Classifier
from .classifier import make_classifier as make_classifier
from .compatibility import for_channels as for_channels
from .encoders import Encoder as Encoder
from .encoders import adapt_channels as adapt_channels
from .encoders import make_encoder as make_encoder
from .foreign import foreign_encoder as foreign_encoder
from .heads import global_avg_pool as global_avg_pool
from .heads import head as head
from .monai_encoders import monai_encoder as monai_encoder
from .networks import make_network as make_network
from .operations import training_operations as training_operations
from .settings import EncoderSettings as EncoderSettings
from .unet import UNet as UNet
from .unet import make_unet as make_unet
from .weight_files import load_foreign_weights as load_foreign_weights
