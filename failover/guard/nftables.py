"""The kernel's packet filter, through libnftables: the library behind ``nft``, without a process.

A call takes 0.3 ms (the program 12). It needs CAP_NET_ADMIN and waits for nothing but the kernel's
own lock of the tables. One object per thread.
"""

from __future__ import annotations

import ctypes

_LIBRARY = "libnftables.so.1"


class KernelRefused(Exception):
    """The commands were not carried out, none of them. The message is nft's."""


class Nftables:
    """``run`` commands as a file for ``nft -f`` has them."""

    def __init__(self) -> None:
        """KernelRefused where the library is not installed."""
        try:
            self._library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise KernelRefused(f"nftables is not installed ({error})") from None
        new = self._library.nft_ctx_new
        new.restype, new.argtypes = ctypes.c_void_p, (ctypes.c_uint32,)
        self._context = ctypes.c_void_p(new(0))
        self._library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        self._library.nft_ctx_buffer_error(self._context)
        self._library.nft_ctx_buffer_output(self._context)

    def listed(self, command: str) -> str:
        """What a ``list`` prints. KernelRefused also where there is no such thing."""
        self.run(command)
        output = self._library.nft_ctx_get_output_buffer
        output.restype = ctypes.c_char_p
        said: bytes = output(self._context)
        return said.decode(errors="replace")

    def run(self, commands: str) -> None:
        """All of them in one transaction. KernelRefused: nothing was changed."""
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        said: bytes = self._library.nft_ctx_get_error_buffer(self._context)
        if failed:
            first = said.decode(errors="replace").strip().partition("\n")[0]
            raise KernelRefused(first or "nft gives no reason")
