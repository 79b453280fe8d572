"""Settings with which all real stages run in seconds."""

QUICK = (
    "device=cpu",
    "offline=true",
    "init.focal_search=false",
    "init.prior_steps=8",
    "init.prior_samples=1",
    "optimize.motion=direct",  # steps and checkpoints are several times smaller
    "optimize.passes=2",
    "optimize.warmup_passes=1",
    "optimize.image_size_px=48",
    "optimize.map_size=32",
    "optimize.latent_channels=4",
    "optimize.decoder_width=4",
    "export.panel_height_px=64",
)
