"""The options whose values are names, one enum each."""

from enum import StrEnum


class Coding(StrEnum):
    """How weights are stored; see ``swis.formats.weight_format.WeightFormat``."""

    plain = "plain"
    compact = "compact"
    codebook = "codebook"
    entropy = "entropy"


class Selection(StrEnum):
    """How the weights of a group get their levels: each its nearest one, or all together."""

    nearest = "nearest"
    joint = "joint"


class Policy(StrEnum):
    """How a schedule gives shifts to filters: evenly, by greedy steps, or with the least total loss."""

    uniform = "uniform"
    greedy = "greedy"
    optimal = "optimal"


class Scope(StrEnum):
    """What must keep the budget of shifts: every layer, or the network as a whole."""

    layer = "layer"
    network = "network"


class BudgetUnit(StrEnum):
    """What the average number of shifts is weighted by: weights, MACs, or bits in storage."""

    weights = "weights"
    macs = "macs"
    storage = "storage"


class Losses(StrEnum):
    """Where a schedule measures errors: at the weights, or at the logits, after output-aware calibration."""

    weights = "weights"
    logits = "logits"


class Damaged(StrEnum):
    """What to do with an image file that cannot be decoded: stop with an error, or leave it out."""

    refuse = "refuse"
    skip = "skip"


class ClassOrder(StrEnum):
    """How class folders are numbered: in alphabetical order, or by the number that is their name."""

    alphabetical = "alphabetical"
    index = "index"  # type: ignore[assignment] # also a method of str


class Optimizer(StrEnum):
    """The optimizer of retraining."""

    sgd = "sgd"
    adamw = "adamw"


class Order(StrEnum):
    """The order of the groups in the GPTQ pass: as stored, or by the variance of their inputs."""

    filter = "filter"
    variance = "variance"


class Weighed(StrEnum):
    """What a bit is weighed against: the error of a filter's output, or its effect on the logits."""

    output = "output"
    logits = "logits"


class Rewrite(StrEnum):
    """A change of a folded network that keeps its function."""

    equalize = "equalize"
    permute = "permute"


class Dataflow(StrEnum):
    """The dataflow of a systolic array: output stationary or weight stationary."""

    os = "os"
    ws = "ws"


class Skipping(StrEnum):
    """Which zero bits a design skips: as Pragmatic, Bitlet, BitWave and Laconic do, in this order."""

    bits = "bits"
    significances = "significances"
    columns = "columns"
    products = "products"


class Granularity(StrEnum):
    """Which weights share a scale: a whole tensor, or one filter (output channel)."""

    tensor = "tensor"
    channel = "channel"


class Clip(StrEnum):
    """The range of the weight quantizer: the largest magnitude, or the one of least squared error."""

    absmax = "absmax"
    mse = "mse"


class ActivationRange(StrEnum):
    """The range of the activation quantizer: minimum and maximum, or percentiles."""

    minmax = "minmax"
    percentile = "percentile"


class Interpolation(StrEnum):
    """How images are resized."""

    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"


class CropMode(StrEnum):
    """How timm cuts an image to the network's input size."""

    center = "center"  # type: ignore[assignment] # also a method of str
    squash = "squash"
    border = "border"


class Precision(StrEnum):
    """The number type of training; bfloat16 uses autocast."""

    float32 = "float32"
    bfloat16 = "bfloat16"
