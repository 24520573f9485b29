# The room's main names. Read by type checkers and, at run time, by lazy_loader.

from .case import Case as Case
from .cohort import Cohort as Cohort
from .cohort import CohortDescription as CohortDescription
from .cohort import Split as Split
from .label_budget import LabelBudget as LabelBudget
from .label_budget import parse_label_budget as parse_label_budget
from .opening import open_cohort as open_cohort
from .opening import scale as scale
from .preparation import Intensity as Intensity
from .preparation import PreparationRecord as PreparationRecord
from .registry import load_recipe as load_recipe
from .registry import make_cohort as make_cohort
from .registry import recipes as recipes
from .verify import Verify as Verify
from .verify import verify as verify
