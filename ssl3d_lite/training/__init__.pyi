# The room's main names. Read by type checkers and, at run time, by lazy_loader.

from . import batches as batches
from .checkpoint import load_encoder as load_encoder
from .checkpoint import load_network as load_network
from .finetuning import Finetuning as Finetuning
from .finetuning import finetune as finetune
from .loop import fit as fit
from .presets import preset as preset
from .pretraining import Pretraining as Pretraining
from .pretraining import pretrain as pretrain
from .settings import FinetuneSettings as FinetuneSettings
from .settings import PretrainSettings as PretrainSettings
from .settings import TrainSettings as TrainSettings
