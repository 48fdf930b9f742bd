"""Whether matrix products run in bfloat16: half the bytes of fp32 with its range, where the hardware multiplies it natively."""

from typing import Final, Literal

import torch

CPU_FLAGS: Final = ("amx_bf16", "avx512_bf16")
"""Matrix tiles (Intel, since 2023) and vector products: elsewhere bfloat16 is emulated, and slower than fp32."""
Wanted = Literal["auto"] | bool


def use_bfloat16(wanted: Wanted, device: torch.device) -> bool:
    """Whether to use it: as wanted, or, for auto, where `device` has it."""
    return has_bfloat16(device) if wanted == "auto" else wanted


def has_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    can = torch.cpu.get_capabilities()
    return any(bool(can.get(flag)) for flag in CPU_FLAGS)
