// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first frame from the host says what to run and where: KEY=VALUE strings,
 * each ended by a NUL. README.md lists the keys.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "init.h"

/* Append to a NULL-terminated vector. */
static void push(int port, char ***vector, char *value)
{
	size_t count = 0;
	char **bigger;

	while (*vector && (*vector)[count])
		count++;
	bigger = realloc(*vector, (count + 2) * sizeof(*bigger));
	if (!bigger)
		port_fail(port, "init: out of memory");
	bigger[count] = value;
	bigger[count + 1] = NULL;
	*vector = bigger;
}

static void config_set(int port, struct config *config, const char *key, char *value)
{
	if (!strcmp(key, "arg")) {
		push(port, &config->argv, value);
	} else if (!strcmp(key, "env")) {
		push(port, &config->envp, value);
	} else if (!strcmp(key, "bind")) {
		push(port, &config->binds, value);
	} else if (!strcmp(key, "cwd")) {
		config->cwd = value;
	} else if (!strcmp(key, "out")) {
		config->out = value;
	} else if (!strcmp(key, "cgroup")) {
		config->cgroup = value;
	} else if (!strcmp(key, "tty")) {
		config->tty = true;
		if (sscanf(value, "%hux%hu", &config->winsize.ws_row,
			   &config->winsize.ws_col) != 2)
			port_fail(port, "init: bad window size '%s'", value);
	} else {
		port_fail(port, "init: unknown key '%s': remove the cached initramfs",
			  key);
	}
}

static void config_parse(int port, struct config *config, char *text, size_t len)
{
	char *end = text + len, *value;

	while (text < end) {
		char *next = text + strlen(text) + 1;

		value = strchr(text, '=');
		if (!value)
			port_fail(port, "init: no value in '%s'", text);
		*value++ = 0;
		config_set(port, config, text, value);
		text = next;
	}
	if (!config->argv || !config->cwd || !config->cgroup)
		port_fail(port, "init: incomplete configuration");
}

void config_receive(int port, struct config *config)
{
	struct frame frame;
	char *text;

	port_read(port, &frame, sizeof(frame));
	if (frame.type != FRAME_CONFIG || frame.len > FRAME_CONFIG_MAX)
		port_fail(port, "init: bad configuration frame");
	text = malloc(frame.len + 1);
	if (!text)
		port_fail(port, "init: out of memory");
	port_read(port, text, frame.len);
	text[frame.len] = 0;
	memset(config, 0, sizeof(*config));
	config_parse(port, config, text, frame.len);
}
