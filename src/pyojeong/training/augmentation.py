"""Random changes of framing, light and image quality for training."""

from collections.abc import Iterator

import numpy as np
import simplejpeg
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from pyojeong.model.network import MEAN
from pyojeong.training.distributed import Share
from pyojeong.training.recipe import Recipe

_LUMA = (0.299, 0.587, 0.114)
"""Rec. 601 weights of red, green and blue."""

_ERASED = (0.02, 0.15)
"""Smallest and largest erased share of an image; chosen by judgment, not measured."""

_LOW = (20, 80)
"""Smallest and largest side, in pixels, of a low-resolution image; faces in webcam frames have such sizes."""

_QUALITY = (20, 80)
"""Lowest and highest JPEG quality."""


def augment(pixels: Tensor, recipe: Recipe, generator: np.random.Generator, share: Share | None = None) -> Tensor:
    """Return ``pixels`` (float [N, 3, H, W] in 0..1) with an independent random change of each image.

    ``pixels`` are this process's ``share`` of a step. All random numbers are drawn on the CPU and for the whole step,
    so that every device and every number of processes produces the same images.
    """
    share = share or Share(len(pixels))
    pixels = _warp(pixels, recipe, generator, share)
    if recipe.color or recipe.gray:
        pixels = _color(pixels, recipe, generator, share)
    if recipe.low_resolution:
        pixels = _blur(pixels, recipe.low_resolution, generator, share)
    if recipe.jpeg:
        pixels = _compress(pixels, recipe.jpeg, generator, share)
    return _erase(pixels, recipe.erase, generator, share) if recipe.erase else pixels


def _warp(pixels: Tensor, recipe: Recipe, generator: np.random.Generator, share: Share) -> Tensor:
    # Maps output positions to input positions, both in -1..1. Outside the image is black, as beyond the border of a
    # photograph, or the edge is repeated, as hair and background would continue.
    count = share.count
    mirror = np.where(generator.random(count) < recipe.flip, -1.0, 1.0)
    angle = np.radians(generator.uniform(-recipe.rotate, recipe.rotate, count))
    zoom = 1 + generator.uniform(-recipe.scale, recipe.scale, count)
    shift = generator.uniform(-2 * recipe.shift, 2 * recipe.shift, (2, count))
    taller = (1 + recipe.stretch) ** generator.uniform(-1, 1, count)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    rows = ((mirror * cos, -sin, shift[0]), (mirror * sin / taller, cos / taller, shift[1]))
    matrix = torch.from_numpy(np.stack([np.stack(row, -1) for row in rows], 1)[share.own]).to(pixels)
    grid = affine_grid(matrix, list(pixels.shape), align_corners=False)
    outside = "border" if generator.random() < 0.5 else "zeros"
    return grid_sample(pixels, grid, padding_mode=outside, align_corners=False)


def _color(pixels: Tensor, recipe: Recipe, generator: np.random.Generator, share: Share) -> Tensor:
    factors = 1 + generator.uniform(-recipe.color, recipe.color, (3, share.count, 1, 1))
    factors[2, generator.random(share.count) < recipe.gray] = 0
    brightness, contrast, saturation = torch.from_numpy(factors[:, share.own]).to(pixels)
    # All three are linear, so one matrix and one offset per image apply them in a single pass.
    luma = pixels.new_tensor(_LUMA)
    matrix = brightness * contrast * (saturation * torch.eye(3).to(pixels) + (1 - saturation) * luma)
    flat = pixels.flatten(2)
    offset = brightness * (1 - contrast) * (flat.mean(2) @ luma)[:, None, None]
    return torch.baddbmm(offset, matrix, flat).clamp_(0, 1).view_as(pixels)


def _blur(pixels: Tensor, probability: float, generator: np.random.Generator, share: Share) -> Tensor:
    pixels = pixels.clone()
    for index, side in _chosen_images(_LOW, probability, generator, share):
        small = interpolate(pixels[index, None], size=(side, side), mode="area")
        pixels[index] = interpolate(small, size=pixels.shape[2:], mode="bilinear", align_corners=False)[0]
    return pixels


def _compress(pixels: Tensor, probability: float, generator: np.random.Generator, share: Share) -> Tensor:
    pixels = pixels.clone()
    for index, quality in _chosen_images(_QUALITY, probability, generator, share):
        image = np.ascontiguousarray((pixels[index] * 255).round().byte().permute(1, 2, 0).cpu().numpy())
        data = simplejpeg.encode_jpeg(image, quality, colorsubsampling="420")
        pixels[index] = torch.from_numpy(simplejpeg.decode_jpeg(data)).permute(2, 0, 1).to(pixels) / 255
    return pixels


def _chosen_images(
    limits: tuple[int, int], probability: float, generator: np.random.Generator, share: Share
) -> Iterator[tuple[int, int]]:
    """Yield the positions of the changed images in this process's share, each with a random number from ``limits``."""
    chosen = np.flatnonzero(generator.random(share.count) < probability)
    amounts = np.zeros(share.count, np.int64)
    amounts[chosen] = generator.integers(*limits, len(chosen), endpoint=True)
    own = amounts[share.own]
    yield from ((int(index), int(own[index])) for index in np.flatnonzero(own))


def _erase(pixels: Tensor, probability: float, generator: np.random.Generator, share: Share) -> Tensor:
    area = generator.uniform(*_ERASED, share.count)
    stretch = np.exp(generator.uniform(-1, 1, share.count) * np.log(2))
    size = np.sqrt(np.stack([area * stretch, area / stretch]))
    size[:, generator.random(share.count) >= probability] = 0
    start = generator.random((2, share.count)) * (1 - size)
    inside = []
    for first, length, side in zip(start[:, share.own], size[:, share.own], pixels.shape[2:], strict=True):
        at = (np.arange(side) + 0.5) / side
        inside.append((at >= first[:, None]) & (at < (first + length)[:, None]))
    hole = torch.from_numpy(inside[0][:, None, :, None] & inside[1][:, None, None, :]).to(pixels.device)
    return torch.where(hole, pixels.new_tensor(MEAN).view(1, 3, 1, 1), pixels)
