# SPDX-License-Identifier: GPL-2.0-only
#
# How a program is built from its own sources and those here. A Makefile sets
# PROGRAM and SOURCES, and includes this. KHDR is where the headers of the
# patched kernel are installed, KTREE its source: scripts/tools-build gives them.

COMMON := $(dir $(lastword $(MAKEFILE_LIST)))
KHDR ?= $(COMMON)../../build/linux/obj-release/usr/include
KTREE ?= $(COMMON)../../build/linux
O ?= .

CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -DCONFIG_64BIT \
	-I$(COMMON) -isystem $(KTREE)/tools/include -isystem $(KHDR) $(CFLAGS)

HEADERS := $(wildcard *.h $(COMMON)*.h)
OBJS := $(addprefix $(O)/,$(SOURCES:.c=.o))

vpath %.c $(COMMON)

.PHONY: all clean
all: $(O)/$(PROGRAM)

$(O)/$(PROGRAM): $(OBJS)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -lsmartcols

$(O)/%.o: %.c $(HEADERS) Makefile $(COMMON)program.mk
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

clean:
	$(RM) $(OBJS) $(O)/$(PROGRAM) $(EXTRA_CLEAN)
