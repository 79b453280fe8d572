"""From the results of a batch to a dataset: review, export, verify; and reading one (`load`)."""

from closefit.datasets.loader import Clip as Clip
from closefit.datasets.loader import load as load
