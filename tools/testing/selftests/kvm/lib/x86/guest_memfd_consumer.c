// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's test consumer of guest_memfd memory, by its file in debugfs.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest_memfd_consumer.h"
#include "test_util.h"

#define CONSUMER	"/sys/kernel/debug/kvm_gmem_test/consumer"
#define LOG_SIZE	16384

static int run_command(int fd, const char *format, va_list args)
{
	char text[64];
	int len = vsnprintf(text, sizeof(text), format, args);

	return write(fd, text, len) == len ? 0 : errno;
}

int __gmem_consumer_command(int fd, const char *format, ...)
{
	va_list args;
	int ret;

	va_start(args, format);
	ret = run_command(fd, format, args);
	va_end(args);
	return ret;
}

void gmem_consumer_command(int fd, const char *format, ...)
{
	va_list args;
	int ret;

	va_start(args, format);
	ret = run_command(fd, format, args);
	va_end(args);
	TEST_ASSERT(!ret, "Command %s to the consumer: %s", format, strerror(ret));
}

int __gmem_consumer_open(void)
{
	int fd = open(CONSUMER, O_RDWR);

	TEST_ASSERT(fd >= 0, "No " CONSUMER ": set CONFIG_KVM_GMEM_TEST, load gmem_test.ko");
	return fd;
}

int gmem_consumer_open(int gmem_fd)
{
	int fd = __gmem_consumer_open();

	gmem_consumer_command(fd, "register %d", gmem_fd);
	return fd;
}

void gmem_consumer_assert_told(int fd, const char *format, ...)
{
	char want[256], text[LOG_SIZE] = {};
	va_list args;
	ssize_t len;

	va_start(args, format);
	vsnprintf(want, sizeof(want), format, args);
	va_end(args);

	len = read(fd, text, sizeof(text) - 1);
	TEST_ASSERT(len >= 0, "Reading from the consumer, errno: %d", errno);
	TEST_ASSERT(!strcmp(text, want), "The consumer was told\n%swanted\n%s", text, want);
}
