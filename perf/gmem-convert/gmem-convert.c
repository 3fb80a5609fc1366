// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to convert guest_memfd memory on huge pages between private and
 * shared: this way, and the plain way, which undoes the vmemmap optimisation
 * (HVO) and splits a huge page into 4K pages.
 *
 * See perf/README.md.
 */
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "measure.h"
#include "report.h"
#include "switches.h"

struct options {
	unsigned int repeat;
	unsigned int check;
	const char *unit;
	bool plain;
	bool raw;
};

static void usage(void)
{
	printf("Usage: gmem-convert [OPTION]...\n"
	       "Measure conversions of guest_memfd memory on huge pages, by this way to split\n"
	       "them and by the plain way. Needs root, one free page of 1G and one of 2M.\n\n"
	       "  -r, --repeat NUMBER  repetitions, up to %u (default 5)\n"
	       "  -u, --unit UNIT      what a nanosecond of the clock is: ns (default), or\n"
	       "                       instructions as in QEMU with -icount shift=0\n"
	       "  -c, --check NUMBER   fail if the plain way takes less than NUMBER times as\n"
	       "                       long for the first 4K of a 1G page\n"
	       "  -n, --no-plain       leave the plain way out\n"
	       "  -R, --raw            print a line for each number, fields separated by tabs\n"
	       "  -h, --help           show this help\n\n"
	       "Exit status: 0 measured, 1 --check or a conversion failed, 2 it cannot be run here.\n",
	       MAX_REPEAT);
}

static unsigned int parse_number(const char *option, const char *text,
				 unsigned int max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end || !value || value > max)
		cannot_run("%s '%s' is no number from 1 to %u", option, text, max);
	return value;
}

static void set_option(int c, struct options *options)
{
	switch (c) {
	case 'r':
		options->repeat = parse_number("--repeat", optarg, MAX_REPEAT);
		break;
	case 'u':
		if (strcmp(optarg, "ns") && strcmp(optarg, "instructions"))
			cannot_run("--unit '%s' is neither ns nor instructions", optarg);
		options->unit = optarg;
		break;
	case 'c':
		options->check = parse_number("--check", optarg, 1000000);
		break;
	case 'n':
		options->plain = false;
		break;
	case 'R':
		options->raw = true;
		break;
	case 'h':
		usage();
		exit(0);
	default:
		exit(EXIT_CANNOT_RUN);
	}
}

static void parse_options(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{ "repeat", required_argument, NULL, 'r' },
		{ "unit", required_argument, NULL, 'u' },
		{ "check", required_argument, NULL, 'c' },
		{ "no-plain", no_argument, NULL, 'n' },
		{ "raw", no_argument, NULL, 'R' },
		{ "help", no_argument, NULL, 'h' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "r:u:c:nRh", longs, NULL)) != -1)
		set_option(c, options);
	if (optind < argc)
		cannot_run("'%s' is no option: see gmem-convert --help", argv[optind]);
	if (options->check && !options->plain)
		cannot_run("--check compares with the plain way: leave --no-plain out");
}

static void check_ratio(const struct results *results, unsigned int wanted)
{
	double ratio = plain_ratio(results->of[FILE_1G][STEP_FIRST_4K],
				   PART_IOCTL);

	if (wanted && ratio < wanted)
		die(EXIT_FAULT, "the plain way takes %.1f times as long for 4K of 1G, not %u",
		    ratio, wanted);
}

int main(int argc, char **argv)
{
	struct options options = { .repeat = 5, .unit = "ns", .plain = true };
	struct results results = {};

	parse_options(argc, argv, &options);
	if (geteuid())
		cannot_run("run as root: the switches of the kernel are root's");
	switches_init();
	measure(&results, options.repeat, options.plain);
	if (options.raw)
		report_raw(&results, options.unit);
	else
		report_tables(&results, options.unit, options.repeat);
	check_ratio(&results, options.check);
	return 0;
}
