"""Why two pipelines differ: a sentence for each cause, then the evidence for it.

`pipeline` is the pipeline that the cause is about, `other` the other one, `at` the stage after which both were looked
into, `op` what the float model does at `layer`.
"""

from __future__ import annotations

from typing import Final

from qatrix.judge.wording.template import Template

UNEXPLAINED: Final = Template("no known cause explains why {layer} differs after {at}")

# Chains of layers that are fused, or not.
NOT_FUSED: Final = Template("{other} quantizes {layers} as one, but {pipeline} also quantizes between them")
QUANTIZED_BETWEEN: Final = Template("{pipeline} at {at}: {node} quantizes the output of {layer}")
NOT_QUANTIZED_BETWEEN: Final = Template(
    "{other} at {at}: from {first} to {last}, it quantizes only the output of {last}"
)
WEIGHT_SCALED_FIRST: Final = Template("{other} quantizes the weight after {norm} has scaled it")
FUSED_FOR_ALL_CALLS: Final = Template(
    "{pipeline} fuses {layer} with {wrong}, but the float model computes {wrong} only after {calls}"
)
CALLED_AND_FOLLOWED: Final = Template("the float model: {module} is called {count} times; {wrong} only after {calls}")
CALLS_SHARE_MODULE: Final = Template("{pipeline} at {at}: all calls use the same module, and {wrong} is gone")

# Layers that are computed in another way.
PADDING_MODE_IGNORED: Final = Template("{pipeline} pads {layer} with zeros, but the model says padding_mode={mode!r}")
PADDING_MODE: Final = Template("the float model: {layer} has padding_mode={mode!r}")
PADDING_MODE_NOT_READ: Final = Template("{pipeline} at {at}: the forward of {module} never reads padding_mode")
LEFT_RANDOM: Final = Template("{pipeline} leaves {layer} ({op}) random after conversion")
STILL_TRAINING: Final = Template("{pipeline} at {at}: {node} is still in training mode")
NOTHING_RANDOM: Final = Template("{other} at {at}: nothing random is left there")
NESTED_GRAPH: Final = Template("{pipeline} puts {layers} into a subgraph ({op}), where it quantizes nothing")
SUBGRAPH_RUNS: Final = Template("{pipeline} at {at}: {op} runs {layers}")
QUANTIZES: Final = Template("{other} at {at} quantizes {layers}")

# Quality that both pipelines lose.
BOTH_LOSE: Final = Template("{left} and {right} both lose the most quality at {layer} ({op})")
BOTH_LOSE_VARIATION: Final = Template(
    "{left} and {right} both lose the most variation between samples at {layer} ({op})"
)
AGREE_AND_LOSE: Final = Template("{left} and {right} agree, but both lose the most quality at {layer} ({op})")
AGREE_AND_LOSE_VARIATION: Final = Template(
    "{left} and {right} agree, but both lose the most variation between samples at {layer} ({op})"
)
INPUT_QUALITY: Final = Template("at {at}: the input of {layer} has an SQNR of {before_db:.1f} dB")
INPUT_QUALITY_ABOVE: Final = Template("at {at}: the input of {layer} has an SQNR above {before_db:g} dB")
QUALITY_COMPUTED: Final = Template("{pipeline} at {at}: {quality} after computing it")
QUALITY_QUANTIZED: Final = Template("{pipeline} at {at}: {quality} after quantizing its output")
QUALITY: Final = Template("SQNR {sqnr_db:.1f} dB")
QUALITY_AND_VARIATION: Final = Template(
    "SQNR {sqnr_db:.1f} dB ({variation_db:.1f} dB of the variation between samples)"
)

# Batch norms.
NORM_SETTING_REPLACED: Final = Template(
    "{pipeline} computes {layer} with a constant {setting} instead of the model's {declared}"
)
NORM_SETTING: Final = Template("the float model: {layer} has {setting}={declared}")
NORM_SETTING_FOUND: Final = Template("{pipeline} at {at}: its {place} has {setting}={value:g}")
NORM_SETTING_OF_OTHER: Final = Template("{other} at {at}: {setting}={value:g}")
ONE_NORM_FOR_TWO: Final = Template("{pipeline} computes {norms} with the parameters and statistics of one batch norm")
CALLED_WITH_NORMS: Final = Template("the float model: {module} is called {count} times, followed by {norms}")
CALLS_SHARE_NORM: Final = Template(
    "{pipeline} at {at}: all calls use the same fused module, which holds one batch norm"
)
NORM_LEFT_IN_TRAINING: Final = Template("{pipeline} still normalizes {layer} with batch statistics after conversion")
TRAINING_IS_CONSTANT: Final = Template("{pipeline} at {at}: training=True is a constant in the graph")
RUNNING_STATISTICS: Final = Template("{other} at {at}: uses its running statistics")
RUNNING_STATISTICS_FOLDED: Final = Template("{other} at {at}: has folded it with its running statistics")
NORM_NOT_FOLDED: Final = Template("{pipeline} does not fold {layer} into {before}")
NORM_LEFT_BY_BOTH: Final = Template("neither {left} nor {right} folds {layer} into {before}")
FUSION_NOT_DECLARED: Final = Template(
    "{pipeline} does not fold {layer} into {before} because no declared annotation has a batch norm in its chain; "
    "{other} folds it before it annotates"
)
ANNOTATED: Final = Template("annotate: {chains}")
NORM_LEFT: Final = Template("{pipeline} at convert: {node} is left")
NO_NORM_LEFT: Final = Template("{other} at convert: none is left")
ANY_NORM: Final = Template("a batch norm")
FOLDED_THOUGH_READ: Final = Template(
    "{pipeline} folds {norm} into {before}, whose output without {norm} is also read by {readers}"
)
READERS: Final = Template("the float model: {readers} read {before}")
NO_NORM_LEFT_FOR: Final = Template("{pipeline} at {at}: no batch norm is left for {norm}")
NORM_LEFT_AT: Final = Template("{other} at {at}: {node} is left")

# Tensors that only one pipeline quantizes, or quantizes in another place.
LEFT_IN_FLOAT: Final = Template("{other} leaves {layer} ({op}) in float, but {pipeline} quantizes it")
PART_LEFT_IN_FLOAT: Final = Template("{other} does not quantize {parts} of {layer} ({op}), but {pipeline} does")
QUANTIZES_MORE: Final = Template("{pipeline} at {at} quantizes {parts}; {other} does not")
READ_UNQUANTIZED: Final = Template(
    "{pipeline} computes {layer} ({op}) from the float values of {sources}, but {other} from the quantized values"
)
QUANTIZED_FOR_OTHERS: Final = Template("{pipeline} at {at} quantizes {sources} for other layers, but not for {layer}")
READS_QUANTIZED: Final = Template("{other} at {at}: {layer} reads quantized values")
QUANTIZED_AGAIN: Final = Template("{pipeline} quantizes {tensor} {count} times in a row, but {other} only {times}")
ONCE: Final = Template("once")
TIMES: Final = Template("{count} times")
IN_A_ROW: Final = Template("{pipeline} at {at}: {quantizations} in a row")
WEIGHT_NOT_TRAINED: Final = Template("{pipeline} trains {layer} with a float weight and quantizes it only at convert")
NO_FAKE_QUANTIZE: Final = Template("{pipeline} at {at}: the module of {layer} has no fake quantize for its weight")
OPERAND_QUANTIZED: Final = Template("{pipeline} quantizes {tensor}, but {other} does not")
QUANTIZED_BY: Final = Template("{pipeline} at {at}: {node}")
QUANTIZED_BY_NOTHING: Final = Template("{other} at {at}: nothing quantizes it")

# Tensors that both pipelines quantize, with different parameters.
SHARED_PARAMETERS: Final = Template(
    "{pipeline} quantizes the output of {layer} with the parameters of its {inputs} {sources}"
)
PARAMETERS_SHARED: Final = Template("{pipeline} at {at}: {sources} and {layer} share {parameters}")
PARAMETERS_OWN: Final = Template("{other} at {at}: {layer} has {parameters}")
PARAMETERS: Final = Template("scale {scale}, zero point {zero_point}")
NO_PARAMETERS: Final = Template("no quantization")
CLAMPED: Final = Template("{pipeline} at convert: codes of {layer} at an end of the range: {clamped} of {total}")
CONFIGURED_DIFFERENTLY: Final = Template("the pipelines are configured to quantize {tensor} differently")
ALL_CONFIGURED_DIFFERENTLY: Final = Template(
    "the pipelines are configured to quantize {tensor} and {more} more differently"
)
SETTING_DIFFERS: Final = Template("{setting} at {at}: {left} {left_value}, {right} {right_value}")
