"""A wall clock that can be wrong: a small library in front of the C library's `clock_gettime`."""

from __future__ import annotations

import struct

from .run import Run, command

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_s;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("LAB_CLOCK");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (file < 0)
		return;
	void *seen = mmap(NULL, sizeof(*offset_s), PROT_READ, MAP_SHARED, file, 0);
	if (seen != MAP_FAILED)
		offset_s = seen;
	close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = syscall(SYS_clock_gettime, clock, now);
	if (result == 0 && clock == CLOCK_REALTIME && offset_s)
		now->tv_sec += *offset_s;
	return result;
}
"""


class Clock:
    """The wall clock of one process, right until it jumps."""

    def __init__(self, run: Run, name: str) -> None:
        self.library = run.path("clock.so")
        if not self.library.exists():
            source = run.path("clock.c")
            source.write_text(SOURCE)
            command("cc", "-shared", "-fPIC", "-O1", "-o", str(self.library), str(source))
        self.file = run.path(f"clock-{name}")
        self.file.write_bytes(struct.pack("=q", 0))
        self.file.chmod(0o644)

    def prefix(self) -> list[str]:
        """Starts a program under this clock."""
        return ["env", f"LD_PRELOAD={self.library}", f"LAB_CLOCK={self.file}"]

    def jump(self, seconds: int) -> None:
        """From now on it is so far off; the program sees it at once."""
        with self.file.open("r+b") as file:
            file.write(struct.pack("=q", seconds))
