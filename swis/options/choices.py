"""The choices that the configuration offers by name."""

from enum import StrEnum


class Coding(StrEnum):
    plain = "plain"
    compact = "compact"


class Selection(StrEnum):
    nearest = "nearest"
    joint = "joint"


class Policy(StrEnum):
    uniform = "uniform"
    greedy = "greedy"
    optimal = "optimal"


class Scope(StrEnum):
    layer = "layer"
    network = "network"


class BudgetUnit(StrEnum):
    weights = "weights"
    macs = "macs"
    storage = "storage"


class Damaged(StrEnum):
    refuse = "refuse"
    skip = "skip"


class ClassOrder(StrEnum):
    alphabetical = "alphabetical"
    index = "index"  # type: ignore[assignment] # also a method of str


class Optimizer(StrEnum):
    sgd = "sgd"
    adamw = "adamw"


class Order(StrEnum):
    filter = "filter"
    variance = "variance"


class Rewrite(StrEnum):
    equalize = "equalize"
    permute = "permute"


class Dataflow(StrEnum):
    os = "os"
    ws = "ws"


class Skipping(StrEnum):
    bits = "bits"
    significances = "significances"
    columns = "columns"
    products = "products"


class Granularity(StrEnum):
    tensor = "tensor"
    channel = "channel"


class Clip(StrEnum):
    absmax = "absmax"
    mse = "mse"


class ActivationRange(StrEnum):
    minmax = "minmax"
    percentile = "percentile"


class Interpolation(StrEnum):
    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"


class CropMode(StrEnum):
    center = "center"  # type: ignore[assignment] # also a method of str
    squash = "squash"
    border = "border"


class Precision(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"
