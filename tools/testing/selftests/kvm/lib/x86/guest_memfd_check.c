// SPDX-License-Identifier: GPL-2.0-only
/*
 * A look at guest_memfds from below, for the selftests: hugetlb_gmem/check in
 * debugfs, where the kernel looks at all folios and struct pages, and memory
 * by physical address, private or not.
 *
 * See Documentation/mm/hugetlb_gmem.rst.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup_util.h"
#include "guest_memfd_check.h"
#include "guest_memfd_util.h"

#define DIR		"/sys/kernel/debug/hugetlb_gmem/"
#define HVO		"/proc/sys/vm/hugetlb_optimize_vmemmap"

/* A file line by line, of which some go to @text. */
struct lines {
	FILE *in;
	FILE *out;
	char *text;
	size_t size;
	char line[1024];
};

static void lines_begin(struct lines *l)
{
	l->out = open_memstream(&l->text, &l->size);
	TEST_ASSERT(l->out, "open_memstream(), errno: %d", errno);
}

static void lines_open(struct lines *l, const char *path)
{
	l->in = fopen(path, "r");
	TEST_ASSERT(l->in, "No %s: set CONFIG_HUGETLB_GMEM_DEBUG", path);
}

static bool lines_next(struct lines *l)
{
	if (fgets(l->line, sizeof(l->line), l->in))
		return true;
	fclose(l->in);
	return false;
}

static char *lines_end(struct lines *l)
{
	fclose(l->out);
	return l->text;
}

bool gmem_hvo_get(void)
{
	char text[16];
	ssize_t len = read_text(HVO, text, sizeof(text));

	TEST_ASSERT(len > 0, "Reading " HVO ": %ld", len);
	return atoi(text);
}

void gmem_hvo_set(bool on)
{
	gmem_write_file(HVO, on ? "1" : "0");
}

static u64 file_ino(int fd)
{
	struct stat st;

	TEST_ASSERT(!fstat(fd, &st), "fstat() failed, errno: %d", errno);
	return st.st_ino;
}

/* The last line says whether the others are to be trusted. */
static bool next_checked(struct lines *l)
{
	u64 nr_bad;

	TEST_ASSERT(lines_next(l), DIR "check ends without a result");
	if (sscanf(l->line, "bad=%lu", &nr_bad) != 1)
		return true;
	TEST_ASSERT(!nr_bad, "%lu mistakes in folios or struct pages, see the log", nr_bad);
	fclose(l->in);
	return false;
}

static void add_lines(struct lines *l, const char *prefix)
{
	lines_open(l, DIR "check");
	while (next_checked(l)) {
		if (!strncmp(l->line, prefix, strlen(prefix)))
			fputs(l->line, l->out);
	}
}

char *gmem_check_extents(int fd)
{
	char prefix[32];
	struct lines l;

	snprintf(prefix, sizeof(prefix), "ino=%lu ", file_ino(fd));
	lines_begin(&l);
	add_lines(&l, prefix);
	return lines_end(&l);
}

char *gmem_check_tails(void)
{
	struct lines l;

	lines_begin(&l);
	add_lines(&l, "tail ");
	return lines_end(&l);
}

u64 gmem_check_vmemmap(int fd, u64 page)
{
	char *extents = gmem_check_extents(fd), *rest = extents, *line;
	u64 index, vmemmap, found = 0;

	while ((line = strsep(&rest, "\n"))) {
		if (sscanf(line, "ino=%*u index=%lu pfn=%*u vmemmap=%lu",
			   &index, &vmemmap) == 2 && index == page)
			found = vmemmap;
	}
	free(extents);
	TEST_ASSERT(found, "No extent begins at page %lu", page);
	return found;
}

/* Calls that failed are counted. */
static bool counts_failures(const char *line)
{
	return strstr(line, "gmem-convert-enomem:") ||
	       strstr(line, "gmem-convert-eagain:") ||
	       strstr(line, "gmem-last-eagain:");
}

static void add_fdinfo(struct lines *l, int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	lines_open(l, path);
	while (lines_next(l)) {
		if (!counts_failures(l->line))
			fputs(l->line, l->out);
	}
}

char *gmem_check_state(int fd)
{
	struct hugetlb_counters counters;
	struct lines l;

	lines_begin(&l);
	add_lines(&l, "");
	lines_open(&l, DIR "extents");
	while (lines_next(&l))
		fputs(l.line, l.out);
	add_fdinfo(&l, fd);
	hugetlb_counters_read(&counters);
	fprintf(l.out, "%snr_memmap %lu\n", counters.text, counters.memmap);
	hugetlb_counters_free(&counters);
	return lines_end(&l);
}

void gmem_check_assert_same(const char *was, const char *is, const char *when)
{
	TEST_ASSERT(!strcmp(was, is), "%s, there was\n%sand there is\n%s", when, was, is);
}

const u64 *gmem_map_pfn(u64 pfn, u64 nr_pages)
{
	int fd = open_path_or_exit("/dev/mem", O_RDONLY);
	void *mem = mmap(NULL, nr_pages * PAGE_SIZE, PROT_READ, MAP_SHARED, fd,
			 pfn * PAGE_SIZE);

	TEST_ASSERT(mem != MAP_FAILED,
		    "Mapping /dev/mem, errno: %d: unset CONFIG_STRICT_DEVMEM", errno);
	close(fd);
	return mem;
}
