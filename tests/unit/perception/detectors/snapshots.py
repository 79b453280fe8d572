"""Saves the real model classes, small and with random weights, as the model hub lays them out."""

from pathlib import Path

import torch
from transformers import (
    Sam2ImageProcessor,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VideoProcessor,
    Sam2VideoVideoProcessor,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    VitPoseImageProcessor,
)


def save_sam2(folder: Path) -> Path:
    size = 128
    config = Sam2VideoConfig(
        image_size=size,
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "image_size": [size, size],
                "hidden_size": 8,
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 1, 1],
                "window_size_per_stage": [4, 4, 4, 4],
                "window_positional_embedding_background_size": [4, 4],
                "global_attention_blocks": [3],
            },
            "model_type": "sam2_vision_model",
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
            "fpn_hidden_size": 128,
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": size},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 32, "iou_head_hidden_dim": 16},
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[8, 8],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
    )
    model = Sam2VideoModel(config)
    _enliven(model)
    model.save_pretrained(folder)
    pixels = {"height": size, "width": size}
    Sam2VideoProcessor(
        Sam2ImageProcessor(size=pixels, mask_size={"height": size // 4, "width": size // 4}),
        Sam2VideoVideoProcessor(size=pixels),
    ).save_pretrained(folder)
    return folder


@torch.no_grad()
def _enliven(model: Sam2VideoModel) -> None:
    """Make the masks depend on everything: as initialised, nobody is ever visible."""
    generator = torch.Generator().manual_seed(0)  # others' random numbers stay as they are
    for parameter in model.parameters():
        if parameter.any():
            parameter.mul_(4.0 if parameter.ndim > 1 else 1.0)
        else:
            parameter.normal_(std=0.1, generator=generator)
    model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(20.0)


def save_vitpose(folder: Path, experts: int = 1) -> Path:
    config = VitPoseConfig(
        backbone_config={
            "model_type": "vitpose_backbone",
            "image_size": [64, 48],
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_experts": experts,
            "part_features": 4,
            "out_indices": [2],
        },
        num_labels=17,
    )
    VitPoseForPoseEstimation(config).save_pretrained(folder)
    VitPoseImageProcessor(size={"height": 64, "width": 48}).save_pretrained(folder)
    return folder
