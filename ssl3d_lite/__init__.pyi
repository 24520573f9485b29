# What `import ssl3d_lite as ssl3d` offers. Read by type checkers and, at run time, by lazy_loader.

from . import data as data
from . import evaluation as evaluation
from . import exports as exports
from . import models as models
from . import show as show
from . import study as study
from . import tasks as tasks
from . import training as training
from .data.cohort import Cohort as Cohort
from .data.opening import open_cohort as open_cohort
from .data.opening import scale as scale
from .errors import InputError as InputError
from .evaluation.feature_maps import features as features
from .evaluation.prediction import predict as predict
from .evaluation.probe import probe as probe
from .evaluation.raw_scans import predict_images as predict_images
from .evaluation.segmentation import evaluate as evaluate
from .exports.export import export as export
from .game.play import play as play
from .models.encoders import make_encoder as make_encoder
from .models.networks import make_network as make_network
from .models.settings import EncoderSettings as EncoderSettings
from .tasks import make_task as make_task
from .training.checkpoint import load_encoder as load_encoder
from .training.checkpoint import load_network as load_network
from .training.finetuning import finetune as finetune
from .training.pretraining import pretrain as pretrain
from .training.settings import FinetuneSettings as FinetuneSettings
from .training.settings import TrainSettings as TrainSettings

__version__: str
