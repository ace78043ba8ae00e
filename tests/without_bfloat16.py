"""``python -m pyojeong`` as on a processor that does not multiply bfloat16, for tests of processes of their own."""

import runpy

import torch

torch.cpu.get_capabilities = dict  # type: ignore[assignment]
runpy.run_module("pyojeong", run_name="__main__")
