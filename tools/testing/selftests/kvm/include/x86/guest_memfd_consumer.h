/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A user of a guest_memfd's memory in the kernel, other than KVM, see
 * lib/x86/guest_memfd_consumer.c
 */
#ifndef SELFTEST_KVM_GUEST_MEMFD_CONSUMER_H
#define SELFTEST_KVM_GUEST_MEMFD_CONSUMER_H

/* Returns a file descriptor; closing it is the end of the consumer. */
int gmem_consumer_open(int gmem_fd);
/* Not registered yet. */
int __gmem_consumer_open(void);

/* See virt/kvm/gmem_test.c.  The former returns 0 or an errno. */
int __gmem_consumer_command(int fd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void gmem_consumer_command(int fd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* It has been told this since the last time, and nothing else. */
void gmem_consumer_assert_told(int fd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* SELFTEST_KVM_GUEST_MEMFD_CONSUMER_H */
