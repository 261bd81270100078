"""The names that declarations may use: static data, so that checking needs no torch.

Functions and methods compute on tensors and nothing else: none loads, saves, opens, executes,
registers, changes a global setting, or takes a function. Checked against torch 2.15.
"""

from __future__ import annotations

from typing import Final

# Classes of torch.nn whose names end in 1d, 2d and 3d; `…Nd` stands for the case's dim.
LAYER_FAMILIES: Final = tuple(
    """
    AdaptiveAvgPool AdaptiveMaxPool AvgPool BatchNorm CircularPad ConstantPad Conv ConvTranspose Dropout
    InstanceNorm LPPool MaxPool ReflectionPad ReplicationPad ZeroPad
    """.split()
)
_OTHER_LAYERS: Final = """
    AlphaDropout Bilinear CELU ChannelShuffle CosineSimilarity CrossMapLRN2d Dropout ELU Embedding
    FeatureAlphaDropout Flatten Fold FractionalMaxPool2d FractionalMaxPool3d GELU GLU GRU GRUCell GroupNorm
    Hardshrink Hardsigmoid Hardswish Hardtanh Identity LSTM LSTMCell LayerNorm LeakyReLU Linear
    LocalResponseNorm LogSigmoid LogSoftmax Mish MultiheadAttention PReLU PairwiseDistance PixelShuffle
    PixelUnshuffle RMSNorm RNN RNNCell RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus
    Softshrink Softsign Tanh Tanhshrink Threshold Unflatten Unfold Upsample UpsamplingBilinear2d
    UpsamplingNearest2d
    """.split()
LAYERS: Final = frozenset(
    [*_OTHER_LAYERS, *(f"{family}{suffix}" for family in LAYER_FAMILIES for suffix in ("1d", "2d", "3d", "Nd"))]
)

# Written torch.NAME.
TORCH_FUNCTIONS: Final = frozenset(
    """
    abs acos acosh add addbmm addcdiv addcmul addmm addmv addr all amax amin any arange argmax argmin argsort asin
    asinh atan atan2 atanh baddbmm bitwise_and bitwise_not bitwise_or bitwise_xor block_diag bmm broadcast_to
    bucketize cat cdist ceil channel_shuffle chunk clamp clamp_max clamp_min clone column_stack concat concatenate
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d copysign cos cosh cosine_similarity
    count_nonzero cross cummax cummin cumprod cumsum deg2rad diag diag_embed diagonal diff dist div divide dot
    dropout dsplit dstack einsum embedding empty_like eq erf erfc erfinv exp exp2 expm1 eye flatten flip fliplr
    flipud float_power floor floor_divide fmax fmin fmod frac full full_like gather ge group_norm gt hardshrink
    heaviside hsplit hstack hypot index_add index_copy index_fill index_select inner instance_norm isclose isfinite
    isinf isnan kron kthvalue layer_norm ldexp le lerp lgamma linspace log log10 log1p log2 log_softmax logaddexp
    logaddexp2 logcumsumexp logical_and logical_not logical_or logical_xor logit logspace logsumexp lt masked_fill
    masked_scatter matmul matrix_power max maximum mean median meshgrid min minimum mm moveaxis movedim mul
    multiply mv nan_to_num nanmean nansum narrow ne neg negative norm numel ones ones_like outer permute
    pixel_shuffle pixel_unshuffle positive pow prelu prod rad2deg ravel reciprocal relu relu_ remainder
    repeat_interleave reshape rms_norm roll rot90 round rsqrt rsub scatter scatter_add searchsorted select selu
    sgn sigmoid sigmoid_ sign signbit sin sinc sinh softmax sort split sqrt square squeeze stack std std_mean sub
    subtract sum swapaxes swapdims take take_along_dim tan tanh tanh_ tensor_split tensordot threshold tile topk
    trace transpose tril triu true_divide trunc unbind unflatten unsqueeze var var_mean vsplit vstack where xlogy
    zeros zeros_like
    """.split()
)

# Written F.NAME: torch.nn.functional.
F_FUNCTIONS: Final = frozenset(
    """
    adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
    adaptive_max_pool3d affine_grid alpha_dropout avg_pool1d avg_pool2d avg_pool3d batch_norm bilinear celu
    channel_shuffle conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity
    dropout dropout1d dropout2d dropout3d elu elu_ embedding feature_alpha_dropout fold gelu glu grid_sample
    group_norm hardshrink hardsigmoid hardswish hardtanh hardtanh_ instance_norm interpolate layer_norm leaky_relu
    leaky_relu_ linear local_response_norm log_softmax logsigmoid lp_pool1d lp_pool2d lp_pool3d max_pool1d
    max_pool2d max_pool3d mish normalize one_hot pad pairwise_distance pdist pixel_shuffle pixel_unshuffle prelu
    relu relu6 relu_ rms_norm rrelu scaled_dot_product_attention selu sigmoid silu softmax softmin softplus
    softshrink softsign tanh tanhshrink threshold unfold
    """.split()
)

# Written x.NAME(…), where x is a tensor.
TENSOR_METHODS: Final = frozenset(
    """
    abs abs_ acos acosh add add_ addbmm addcdiv addcdiv_ addcmul addcmul_ addmm addmv addr all amax amin any argmax
    argmin argsort asin asinh atan atan2 atanh baddbmm bfloat16 bitwise_and bitwise_not bitwise_or bitwise_xor bmm
    bool broadcast_to ceil chunk clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clip clip_ clone contiguous
    copysign cos cosh count_nonzero cross cummax cummin cumprod cumsum detach diag diag_embed diagonal diff dim
    dist div div_ divide dot double dsplit eq erf erfc erfinv exp exp2 exp_ expand expand_as expm1 fill_ flatten
    flip fliplr flipud float float_power floor floor_divide fmax fmin fmod frac gather ge gt half hardshrink
    heaviside hsplit hypot index_add index_copy index_fill index_select inner int isfinite isinf isnan kron
    kthvalue ldexp le lerp lgamma log log10 log1p log2 log_softmax logaddexp logcumsumexp logical_and logical_not
    logical_or logical_xor logit logsumexp long lt masked_fill masked_fill_ masked_scatter matmul matrix_power max
    maximum mean median min minimum mm moveaxis movedim mul mul_ multiply mv nan_to_num nanmean nansum narrow ndimension
    ne neg neg_ negative new_full new_ones new_zeros norm numel outer permute positive pow pow_ prelu prod ravel
    reciprocal reciprocal_ relu relu_ remainder repeat repeat_interleave reshape reshape_as roll rot90 round rsqrt
    scatter scatter_add select sgn sigmoid sigmoid_ sign signbit sin sinc sinh size softmax sort split
    split_with_sizes sqrt sqrt_ square squeeze std sub sub_ subtract sum swapaxes swapdims t take take_along_dim tan
    tanh tanh_ tensor_split tile to topk trace transpose tril triu true_divide trunc type_as unbind unflatten unfold
    unsqueeze var view view_as vsplit where xlogy zero_
    """.split()
)

# Written torch.NAME in a forward pass, and plainly as the dtype of an input.
DTYPES: Final = frozenset("bfloat16 bool float16 float32 float64 int16 int32 int64 int8 uint8".split())
# Written torch.NAME in a forward pass.
MEMORY_FORMATS: Final = frozenset("channels_last channels_last_3d contiguous_format preserve_format".split())

# What a device of torch's may be; qatrix asks `torch.NAME` whether there is one, and `torch.accelerator` for the one
# that torch finds by itself.
DEVICES: Final = frozenset("accelerator cpu cuda hpu mps mtia npu xpu".split())

# The arguments of `conv(…)`, in the order of the positional ones; a conv kind's args may use them.
CONV_POSITIONAL: Final = ("in_channels", "out_channels", "kernel_size")
CONV_KEYWORDS: Final = frozenset([*CONV_POSITIONAL, *"bias dilation groups padding padding_mode stride".split()])
CONV_TRANSPOSE_KEYWORDS: Final = CONV_KEYWORDS | {"output_padding"}

# Attributes of every torch.nn.Module, which no layer may be called.
MODULE_ATTRIBUTES: Final = frozenset(
    """
    T_destination add_module add_submodule apply bfloat16 buffers call_super_init children code compile cpu cuda
    delete_all_unused_submodules delete_submodule double dump_patches
    eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule graph half ipu
    load_state_dict meta modules mtia named_buffers named_children named_modules named_parameters parameters
    print_readable recompile register_backward_hook register_buffer register_forward_hook
    register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule
    shape_env share_memory state_dict to to_empty to_folder train training type xpu zero_grad
    """.split()
)

# QConfigs that FX graph mode has by name (torch.ao.quantization.qconfig).
QCONFIGS: Final = frozenset(
    """
    default_activation_only_qconfig default_debug_qconfig default_dynamic_qat_qconfig default_dynamic_qconfig
    default_embedding_qat_qconfig default_embedding_qat_qconfig_4bit default_per_channel_qconfig
    default_per_channel_symmetric_qnnpack_qat_qconfig default_per_channel_symmetric_qnnpack_qconfig
    default_qat_qconfig default_qat_qconfig_v2 default_qconfig default_quint8_weight_qconfig
    default_reuse_input_qconfig default_symmetric_qnnpack_qat_qconfig default_symmetric_qnnpack_qconfig
    default_weight_only_qconfig float16_dynamic_qconfig float16_static_qconfig float_qparams_weight_only_qconfig
    float_qparams_weight_only_qconfig_4bit per_channel_dynamic_qconfig
    """.split()
)

# Smallest and greatest integer of each dtype that a tensor can be quantized to.
INTEGER_RANGES: Final = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
}
