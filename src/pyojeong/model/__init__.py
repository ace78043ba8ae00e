"""MobileNetV3-Small, its teachers, their initial weights, and the checkpoint that a training run writes.

Weights come in, from ImageNet, an npm package, a local file or a checkpoint; networks that map normalized pixels to
logits go out. The package imports ``core`` and ``faceapi`` (for one teacher's weights); only ``training`` and
``export`` may import it.
"""
