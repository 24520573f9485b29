# The room's main names. Read by type checkers and, at run time, by lazy_loader.

from . import grades as grades
from . import segmentation as segmentation
from .equivariance import equivariance_under_shift as equivariance_under_shift
from .feature_maps import features as features
from .features import recalibrated as recalibrated
from .linear_probe import linear_probes as linear_probes
from .linear_probe import probes_by_protocol as probes_by_protocol
from .monitor import eval_hooks as eval_hooks
from .neighbours import label_transfer as label_transfer
from .place import evaluate_place as evaluate_place
from .prediction import predict as predict
from .prediction import predict_batch as predict_batch
from .probe import ProbeResult as ProbeResult
from .probe import probe as probe
from .probe_table import ProbeTable as ProbeTable
from .probe_table import probe_table as probe_table
from .proxy import proxy_score as proxy_score
from .raw_scans import predict_images as predict_images
from .segmentation import evaluate as evaluate
from .segmentation import score as score
