/* SPDX-License-Identifier: GPL-2.0-only */
/* The types that the pure files of the kernel use, for userspace. */
#ifndef _LINUX_TYPES_H
#define _LINUX_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;

#endif /* _LINUX_TYPES_H */
