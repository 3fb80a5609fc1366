// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtio-serial port to the host: open it, move whole frames over it. The
 * frames are described in proto.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

static bool port_is_ours(const char *device)
{
	char path[128], name[64] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", device);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = 0;
	fclose(file);
	name[strcspn(name, "\n")] = 0;
	return !strcmp(name, PORT_NAME);
}

/*
 * The port appears a moment after the driver has bound, so poll; the host ends
 * the virtual machine if that never happens.
 */
int port_open(void)
{
	static const char * const devices[] = { "vport0p1", "vport1p1", "vport2p1" };
	const struct timespec pause = { .tv_nsec = 2000000 };
	char path[64];
	size_t i;
	int fd;

	for (;;) {
		for (i = 0; i < sizeof(devices) / sizeof(*devices); i++) {
			if (!port_is_ours(devices[i]))
				continue;
			snprintf(path, sizeof(path), "/dev/%s", devices[i]);
			fd = open(path, O_RDWR | O_CLOEXEC);
			if (fd >= 0)
				return fd;
		}
		nanosleep(&pause, NULL);
	}
}

/* Without the host there is nobody to tell: stop. */
void port_read(int port, void *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = read(port, buf, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			exit(1);
		buf = (char *)buf + n;
		len -= n;
	}
}

static void port_write(int port, const void *buf, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(port, buf, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			exit(1);
		buf = (const char *)buf + n;
		len -= n;
	}
}

/* One write per frame: each costs a trip through the virtqueue. */
void port_send(int port, enum frame_type type, const void *data, size_t len)
{
	static struct {
		struct frame frame;
		char data[FRAME_DATA_MAX];
	} out;

	out.frame.type = type;
	out.frame.len = len;
	if (len)
		memcpy(out.data, data, len);
	port_write(port, &out, sizeof(out.frame) + len);
}

/* The host ends the virtual machine on reading this. */
void port_fail(int port, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	port_send(port, FRAME_FAILED, text, strlen(text));
	for (;;)
		pause();
}
