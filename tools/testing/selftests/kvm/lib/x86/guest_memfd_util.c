// SPDX-License-Identifier: GPL-2.0-only
/*
 * VMs on huge and convertible guest_memfd memory for the selftests.
 *
 * The guest's code, stack, page tables and the model of what memory holds are
 * in slots without guest_memfd: KVM may have to decode the guest's
 * instructions, and reads them through the slot's userspace address.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "cgroup_util.h"
#include "guest_memfd_util.h"
#include "ucall_common.h"

#define MERGE_DELAY	"/sys/kernel/mm/hugetlb_gmem/merge_delay_ms"
#define WAIT_MS		600000
/* A page may be held for a moment, never for this many attempts. */
#define NR_ATTEMPTS	100

bool gmem_vm_wide_attributes(void)
{
	static int vm_wide = -1;

	/* A kernel without the parameter knows no other attributes. */
	if (vm_wide < 0)
		vm_wide = access("/sys/module/kvm/parameters/vm_memory_attributes",
				 F_OK) || get_kvm_param_bool("vm_memory_attributes");
	return vm_wide;
}

static void print_options(const struct gmem_option *options)
{
	printf("Options of the test itself:\n");
	for (; options->name; options++) {
		if (options->number)
			printf("  %s NUMBER  %s (default %u)\n", options->name,
			       options->what, *options->number);
		else
			printf("  %s SIZE  %s (default %luM)\n", options->name,
			       options->what, *options->size / SZ_1M);
	}
}

static bool take_option(const char *name, const char *value,
			const struct gmem_option *options)
{
	for (; options->name && strcmp(options->name, name); options++)
		;
	if (!options->name)
		return false;

	TEST_ASSERT(value, "%s needs a value", name);
	if (options->number)
		*options->number = atoi_positive(options->what, value);
	else
		*options->size = parse_size(value);
	return true;
}

/* The harness knows its own options alone. */
int gmem_take_options(int argc, char **argv, const struct gmem_option *options)
{
	int i, kept = 1;

	for (i = 1; i < argc; i++) {
		if (take_option(argv[i], argv[i + 1], options)) {
			i++;
			continue;
		}
		if (!strcmp(argv[i], "-h"))
			print_options(options);
		argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return kept;
}

void gmem_write_file(const char *path, const char *text)
{
	ssize_t len = write_text(path, (char *)text, strlen(text));

	TEST_ASSERT(len == strlen(text), "Writing '%s' to %s: %ld", text, path, len);
}

static void hugetlb_pool_path(char *path, size_t len, u64 page_size,
			      const char *name)
{
	snprintf(path, len, "/sys/kernel/mm/hugepages/hugepages-%lukB/%s",
		 page_size / SZ_1K, name);
}

static u64 hugetlb_pool_value(u64 page_size, const char *name)
{
	char path[128];
	u64 value;
	FILE *file;

	hugetlb_pool_path(path, sizeof(path), page_size, name);
	file = fopen(path, "r");
	TEST_ASSERT(file && fscanf(file, "%lu", &value) == 1,
		    "Cannot read '%s': does the CPU have pages of this size?", path);
	fclose(file);
	return value;
}

void hugetlb_pool_read(u64 page_size, struct hugetlb_pool *pool)
{
	pool->nr = hugetlb_pool_value(page_size, "nr_hugepages");
	pool->free = hugetlb_pool_value(page_size, "free_hugepages");
	pool->resv = hugetlb_pool_value(page_size, "resv_hugepages");
	pool->surplus = hugetlb_pool_value(page_size, "surplus_hugepages");
}

void hugetlb_pool_set(u64 page_size, u64 nr)
{
	char path[128];
	FILE *file;

	hugetlb_pool_path(path, sizeof(path), page_size, "nr_hugepages");
	file = fopen(path, "w");
	TEST_ASSERT(file && fprintf(file, "%lu", nr) > 0 && !fclose(file),
		    "Cannot write '%s': run as root", path);
}

/*
 * Grow the pool until @nr pages are neither taken nor reserved.  Return the
 * number of pages it had, for hugetlb_pool_set() to go back to.
 */
u64 hugetlb_pool_require(u64 page_size, u64 nr)
{
	struct hugetlb_pool pool;
	u64 before;

	hugetlb_pool_read(page_size, &pool);
	before = pool.nr;
	if (pool.free - pool.resv < nr) {
		hugetlb_pool_set(page_size, pool.nr + nr - (pool.free - pool.resv));
		hugetlb_pool_read(page_size, &pool);
	}

	TEST_ASSERT(pool.free - pool.resv >= nr,
		    "%lu pages of %lu kB needed, %lu of %lu can be had: boot with hugepagesz=%luM hugepages=%lu",
		    nr, page_size / SZ_1K, pool.free - pool.resv, pool.nr,
		    page_size / SZ_1M, pool.nr + nr - (pool.free - pool.resv));
	return before;
}

void hugetlb_pool_assert_eq(u64 page_size, const struct hugetlb_pool *want)
{
	struct hugetlb_pool pool;

	hugetlb_pool_read(page_size, &pool);
	TEST_ASSERT(!memcmp(&pool, want, sizeof(pool)),
		    "Pool of %lu kB pages: nr %lu free %lu resv %lu surplus %lu, wanted %lu %lu %lu %lu",
		    page_size / SZ_1K, pool.nr, pool.free, pool.resv,
		    pool.surplus, want->nr, want->free, want->resv,
		    want->surplus);
}

/* For pages that come back later, by a worker. */
void hugetlb_pool_wait_eq(u64 page_size, const struct hugetlb_pool *want)
{
	struct hugetlb_pool pool;
	int i;

	for (i = 0; i < 6000; i++) {
		hugetlb_pool_read(page_size, &pool);
		if (!memcmp(&pool, want, sizeof(pool)))
			return;
		usleep(10000);
	}
	hugetlb_pool_assert_eq(page_size, want);
}

int __gmem_create(struct kvm_vm *vm, u64 size, u64 flags, u8 order)
{
	struct kvm_create_guest_memfd args = {
		.size = size,
		.flags = flags | (order ? GUEST_MEMFD_FLAG_HUGETLB : 0),
		.page_order = order,
	};

	return __vm_ioctl(vm, KVM_CREATE_GUEST_MEMFD, &args);
}

int gmem_create(struct kvm_vm *vm, u64 size, u64 flags, u8 order)
{
	int fd = __gmem_create(vm, size, flags, order);

	TEST_ASSERT(fd >= 0, KVM_IOCTL_ERROR(KVM_CREATE_GUEST_MEMFD, fd));
	return fd;
}

int gmem_bad_word(const u64 *words, u64 tag, u64 step)
{
	unsigned int i;

	for (i = 0; i < GMEM_WORDS; i += step) {
		if (READ_ONCE(words[i]) != gmem_word(tag, i))
			return i;
	}

	i = GMEM_WORDS - 1;
	return READ_ONCE(words[i]) == gmem_word(tag, i) ? -1 : i;
}

void gmem_write_words(u64 *words, u64 tag)
{
	unsigned int i;

	for (i = 0; i < GMEM_WORDS; i++)
		WRITE_ONCE(words[i], gmem_word(tag, i));
}

static void guest_check_page(struct gmem_model *model, u64 page)
{
	const u64 *words = (u64 *)(GMEM_GPA + page * PAGE_SIZE);
	int bad = gmem_bad_word(words, model->tags[page], model->step);

	if (bad < 0)
		return;

	if (!model->nr_bad++) {
		model->bad_page = page;
		model->bad_word = bad;
		model->bad_value = words[bad];
	}
}

static void guest_do_page(struct gmem_model *model, u64 page)
{
	u64 *words = (u64 *)(GMEM_GPA + page * PAGE_SIZE);

	switch (model->command) {
	case GMEM_WRITE:
		gmem_write_words(words, model->tags[page]);
		break;
	case GMEM_CHECK:
		guest_check_page(model, page);
		break;
	case GMEM_TOUCH:
		READ_ONCE(words[0]);
		break;
	}
}

static void guest_main(struct gmem_model *model)
{
	u64 i;

	for (;;) {
		GUEST_SYNC(0);

		for (i = 0; i < model->nr; i++)
			guest_do_page(model, model->use_list ? model->list[i] :
				      model->first + i);
	}
}

/* Back shared memory with the file itself, or with memory of its own. */
static void gmem_map_shared(struct gmem_vm *g)
{
	int prot = PROT_READ | PROT_WRITE;

	if (gmem_has_mmap(g)) {
		g->shared = kvm_mmap(g->config.size, prot, MAP_SHARED, g->fd);
		return;
	}

	/*
	 * Misalign the userspace address: whether the file's memory is mapped
	 * by huge leaves is a matter of its offset alone.
	 */
	g->shared_base = kvm_mmap(g->config.size + SZ_4M, prot,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	g->shared = align_ptr_up(g->shared_base, SZ_2M) + PAGE_SIZE;
	kvm_madvise(g->shared_base, g->config.size + SZ_4M, MADV_NOHUGEPAGE);
}

static void gmem_add_model(struct gmem_vm *g)
{
	u64 size = sizeof(*g->model) + g->nr_pages * sizeof(g->model->tags[0]);
	u64 npages = align_up(size, PAGE_SIZE) / PAGE_SIZE;

	vm_userspace_mem_region_add(g->vm, VM_MEM_SRC_ANONYMOUS, GMEM_MODEL_GPA,
				    GMEM_MODEL_SLOT, npages, 0);
	virt_map(g->vm, GMEM_MODEL_GPA, GMEM_MODEL_GPA, npages);
	g->model = addr_gpa2hva(g->vm, GMEM_MODEL_GPA);
	memset(g->model, 0, npages * PAGE_SIZE);
}

/* Make each page of slot 0 a page of its own, for its leaves to stay put. */
static void gmem_populate_slot0(struct gmem_vm *g)
{
	struct userspace_mem_region *region = memslot2region(g->vm, 0);
	u8 *mem = region->host_mem;
	u64 i;

	for (i = 0; i < region->region.memory_size; i += PAGE_SIZE)
		WRITE_ONCE(mem[i], READ_ONCE(mem[i]));
}

/* One huge page, or 2M in pages of 4K, that private and shared pages share. */
struct gmem_config gmem_one_page_config(u8 order)
{
	TEST_ASSERT(!gmem_vm_wide_attributes(),
		    "Load kvm with vm_memory_attributes=0");

	return (struct gmem_config){
		.order = order,
		.size = order ? gmem_page_size(order) : SZ_2M,
		.flags = GUEST_MEMFD_FLAG_MMAP,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};
}

static void gmem_add_slot(struct gmem_vm *g, u32 slot, u64 offset, u64 size)
{
	vm_set_user_memory_region2(g->vm, slot, KVM_MEM_GUEST_MEMFD,
				   GMEM_GPA + offset, size, g->shared + offset,
				   g->fd, offset);
}

void gmem_add_slots(struct gmem_vm *g)
{
	u64 size = g->config.size, second = g->config.second_slot;

	gmem_add_slot(g, GMEM_SLOT, 0, second ? : size);
	if (second)
		gmem_add_slot(g, GMEM_SECOND_SLOT, second, size - second);
}

void gmem_delete_slot(struct gmem_vm *g)
{
	vm_set_user_memory_region2(g->vm, GMEM_SLOT, 0, GMEM_GPA, 0, NULL, 0, 0);
}

/* All that a guest needs to reach its memory; of a size that goes with it. */
static void gmem_add_guest(struct gmem_vm *g)
{
	virt_map_level(g->vm, GMEM_GPA, GMEM_GPA, g->config.size,
		       g->config.guest_maps_4k ? PG_LEVEL_4K : PG_LEVEL_2M);
	gmem_add_model(g);
	vcpu_args_set(g->vcpu, 1, GMEM_MODEL_GPA);
	vcpu_regs_get(g->vcpu, &g->entry);
	gmem_populate_slot0(g);
}

void gmem_vm_create(struct gmem_vm *g, const struct gmem_config *config)
{
	struct vm_shape shape = {
		.mode = VM_MODE_DEFAULT,
		.type = config->vm_type,
	};
	u64 extra_pages = config->no_guest ? 0 : config->size / SZ_2M * 2;

	if (config->order)
		gmem_set_merge_delay(config->merge_delay_ms);
	memset(g, 0, sizeof(*g));
	g->config = *config;
	hugetlb_counters_read(&g->counters);
	g->nr_pages = config->size / PAGE_SIZE;
	g->vm = __vm_create_shape_with_one_vcpu(shape, &g->vcpu, extra_pages,
						config->guest_code ?: guest_main);
	g->fd = gmem_create(g->vm, config->size, config->flags, config->order);
	gmem_map_shared(g);
	gmem_add_slots(g);
	if (gmem_vm_wide_attributes() && config->vm_type)
		vm_mem_set_private(g->vm, GMEM_GPA, config->size);
	if (!config->no_guest)
		gmem_add_guest(g);
}

/* Put every reference to the file, so that its pages are back on return. */
void gmem_vm_free(struct gmem_vm *g)
{
	if (gmem_has_mmap(g))
		kvm_munmap(g->shared, g->config.size);
	else
		kvm_munmap(g->shared_base, g->config.size + SZ_4M);
	kvm_close(g->fd);
	kvm_vm_free(g->vm);
	if (!g->config.keeps_pages)
		hugetlb_counters_assert_lost(&g->counters,
					     gmem_page_size(g->config.order),
					     __builtin_popcountl(g->poisoned));
	hugetlb_counters_free(&g->counters);
}

/* Find " ORDER:NUMBER" in the list of an extent's folios. */
static u64 folios_of_order(char *list, unsigned int order)
{
	unsigned int found;
	u64 nr;
	char *item, *rest = list;

	while ((item = strsep(&rest, ",\n"))) {
		if (sscanf(item, "%u:%lu", &found, &nr) == 2 && found == order)
			return nr;
	}
	return 0;
}

static FILE *gmem_open_extents(void)
{
	FILE *file = fopen("/sys/kernel/debug/hugetlb_gmem/extents", "r");

	TEST_ASSERT(file, "No hugetlb_gmem/extents in debugfs: set CONFIG_HUGETLB_GMEM_DEBUG");
	return file;
}

/* The next line that is about the file. */
static bool gmem_next_extent(FILE *extents, int fd, char *line, size_t size)
{
	struct stat st;
	u64 ino;

	TEST_ASSERT(!fstat(fd, &st), "fstat() failed, errno: %d", errno);
	while (fgets(line, size, extents)) {
		TEST_ASSERT(sscanf(line, "ino=%lu", &ino) == 1, "Unknown line: %s", line);
		if (ino == st.st_ino)
			return true;
	}
	return false;
}

u64 gmem_count_folios(int fd, unsigned int order)
{
	FILE *extents = gmem_open_extents();
	char line[512], *list;
	u64 nr = 0;

	while (gmem_next_extent(extents, fd, line, sizeof(line))) {
		list = strstr(line, "folios=");
		TEST_ASSERT(list, "Unknown line: %s", line);
		nr += folios_of_order(list + strlen("folios="), order);
	}
	fclose(extents);
	return nr;
}

u64 gmem_extent_pfn(int fd, u64 page)
{
	FILE *extents = gmem_open_extents();
	u64 index, pfn, found = 0;
	char line[512];

	while (gmem_next_extent(extents, fd, line, sizeof(line))) {
		TEST_ASSERT(sscanf(line, "ino=%*u index=%lu pfn=%lu", &index, &pfn) == 2,
			    "Unknown line: %s", line);
		if (index == page)
			found = pfn;
	}
	fclose(extents);
	return found;
}

/* Wait until the file has @nr such folios; only a hang makes this fail. */
void gmem_wait_folios(int fd, unsigned int order, u64 nr)
{
	unsigned int i;

	for (i = 0; gmem_count_folios(fd, order) != nr; i++) {
		TEST_ASSERT(i < WAIT_MS, "Still %lu folios of order %u, not %lu",
			    gmem_count_folios(fd, order), order, nr);
		usleep(1000);
	}
}

void gmem_read_fdinfo(int fd, char *text, size_t size)
{
	char path[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	len = read_text(path, text, size);
	TEST_ASSERT(len > 0 && len < size - 1, "Reading %s: %ld", path, len);
}

/* Of "gmem-KEY:<tab>VALUE"; kB are as they are. */
u64 gmem_fdinfo_value(const char *text, const char *key)
{
	char line[64];
	const char *at;
	u64 value;

	snprintf(line, sizeof(line), "\ngmem-%s:\t", key);
	at = strstr(text, line);
	TEST_ASSERT(at && sscanf(at + strlen(line), "%lu", &value) == 1,
		    "No '%s' in fdinfo:\n%s", key, text);
	return value;
}

u64 gmem_fdinfo(int fd, const char *key)
{
	char text[GMEM_FDINFO_SIZE];

	gmem_read_fdinfo(fd, text, sizeof(text));
	return gmem_fdinfo_value(text, key);
}

void gmem_set_merge_delay(unsigned int ms)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", ms);
	gmem_write_file(MERGE_DELAY, text);
}

int gmem_set_attributes(int fd, u64 offset, u64 size, u64 attributes,
			u64 flags, u64 *error_offset)
{
	struct kvm_memory_attributes2 args = {
		.offset = offset,
		.size = size,
		.attributes = attributes,
		.flags = flags,
		.error_offset = error_offset ? *error_offset : 0,
	};
	int ret = ioctl(fd, KVM_SET_MEMORY_ATTRIBUTES2, &args) ? errno : 0;

	if (error_offset)
		*error_offset = args.error_offset;
	return ret;
}

static int set_vm_attributes(struct gmem_vm *g, u64 page, u64 nr, u64 attributes)
{
	struct kvm_memory_attributes args = {
		.address = GMEM_GPA + page * PAGE_SIZE,
		.size = nr * PAGE_SIZE,
		.attributes = attributes,
	};

	return __vm_ioctl(g->vm, KVM_SET_MEMORY_ATTRIBUTES, &args) ? errno : 0;
}

/* Keep contents where the attribute is the file's and the host can map it. */
int gmem_try_convert(struct gmem_vm *g, u64 page, u64 nr, bool to_private,
		     u64 *error_offset)
{
	u64 attributes = to_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0;
	u64 flags = gmem_in_place(g) ? KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE : 0;

	if (gmem_vm_wide_attributes())
		return set_vm_attributes(g, page, nr, attributes);

	return gmem_set_attributes(g->fd, page * PAGE_SIZE, nr * PAGE_SIZE,
				   attributes, flags, error_offset);
}

/* Return how many attempts of up to @max met a page that somebody held. */
static u64 convert_attempts(struct gmem_vm *g, u64 page, u64 nr,
			    bool to_private, u64 max)
{
	u64 error_offset = -1ul, nr_again;
	int ret = EAGAIN;

	for (nr_again = 0; nr_again < max; nr_again++) {
		ret = gmem_try_convert(g, page, nr, to_private, &error_offset);
		if (ret != EAGAIN)
			break;
	}
	TEST_ASSERT(!ret, "Making pages %lu..%lu %s: %s at offset 0x%lx", page,
		    page + nr - 1, to_private ? "private" : "shared",
		    strerror(ret), error_offset);
	return nr_again;
}

void gmem_convert(struct gmem_vm *g, u64 page, u64 nr, bool to_private)
{
	convert_attempts(g, page, nr, to_private, 1);
}

u64 gmem_convert_patiently(struct gmem_vm *g, u64 page, u64 nr, bool to_private)
{
	return convert_attempts(g, page, nr, to_private, NR_ATTEMPTS);
}

static int gmem_pre_fault_gpa(struct gmem_vm *g, gpa_t gpa, u64 size)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };

	while (range.size) {
		if (__vcpu_ioctl(g->vcpu, KVM_PRE_FAULT_MEMORY, &range) &&
		    errno != EINTR && errno != EAGAIN)
			return errno;
	}
	return 0;
}

int gmem_pre_fault(struct gmem_vm *g, u64 page, u64 nr)
{
	return gmem_pre_fault_gpa(g, GMEM_GPA + page * PAGE_SIZE, nr * PAGE_SIZE);
}

/* All leaves of the VM; those of its guest_memfd if nothing else was mapped. */
void gmem_leaves_raw(struct gmem_vm *g, struct gmem_leaves *leaves)
{
	leaves->nr_1g = vm_get_stat(g->vm, pages_1g);
	leaves->nr_2m = vm_get_stat(g->vm, pages_2m);
	leaves->nr_4k = vm_get_stat(g->vm, pages_4k);
}

static u64 gmem_pre_fault_slot(struct gmem_vm *g, u32 slot)
{
	struct kvm_userspace_memory_region2 *region = &memslot2region(g->vm, slot)->region;

	TEST_ASSERT(!gmem_pre_fault_gpa(g, region->guest_phys_addr, region->memory_size),
		    "Cannot pre-fault slot %u, errno: %d", slot, errno);
	return region->memory_size / PAGE_SIZE;
}

/* Leaves of guest_memfd alone: map all other memory, and do not count it. */
void gmem_leaves(struct gmem_vm *g, struct gmem_leaves *leaves)
{
	u64 others = gmem_pre_fault_slot(g, 0) +
		     gmem_pre_fault_slot(g, GMEM_MODEL_SLOT);

	gmem_leaves_raw(g, leaves);
	TEST_ASSERT(leaves->nr_4k >= others,
		    "%lu leaves of 4K where %lu pages of other slots are mapped",
		    leaves->nr_4k, others);
	leaves->nr_4k -= others;
}

void gmem_assert_leaves(const struct gmem_leaves *leaves, u64 nr_1g, u64 nr_2m,
			u64 nr_4k, const char *when)
{
	TEST_ASSERT(leaves->nr_1g == nr_1g && leaves->nr_2m == nr_2m &&
		    leaves->nr_4k == nr_4k,
		    "%s: pages_1g=%lu pages_2m=%lu pages_4k=%lu, wanted %lu %lu %lu",
		    when, leaves->nr_1g, leaves->nr_2m, leaves->nr_4k, nr_1g,
		    nr_2m, nr_4k);
}

/* Run until the guest asks for its next command. */
static int gmem_guest_until_sync(struct gmem_vm *g)
{
	struct ucall uc;
	int ret;

	for (;;) {
		ret = __vcpu_run(g->vcpu) ? errno : 0;
		if (ret == EINTR)
			continue;
		if (ret)
			return ret;

		switch (get_ucall(g->vcpu, &uc)) {
		case UCALL_SYNC:
			return 0;
		case UCALL_ABORT:
			REPORT_GUEST_ASSERT(uc);
		default:
			TEST_FAIL("Guest stopped for %s instead of a command",
				  exit_reason_str(g->vcpu->run->exit_reason));
		}
	}
}

/* An access that failed is abandoned by starting over at the entry. */
static void gmem_guest_wait(struct gmem_vm *g)
{
	int ret;

	if (g->waiting)
		return;

	vcpu_regs_set(g->vcpu, &g->entry);
	ret = gmem_guest_until_sync(g);
	TEST_ASSERT(!ret, "Guest cannot wait for a command: %s", strerror(ret));
}

static int gmem_guest_command(struct gmem_vm *g, enum gmem_command command,
			      u64 page, u64 nr, u64 step)
{
	int ret;

	gmem_guest_wait(g);
	g->model->command = command;
	g->model->first = page;
	g->model->nr = nr;
	g->model->step = step;
	g->model->nr_bad = 0;

	ret = gmem_guest_until_sync(g);
	g->waiting = !ret;
	return ret;
}

int gmem_guest_run(struct gmem_vm *g, enum gmem_command command, u64 page,
		   u64 nr, u64 step)
{
	g->model->use_list = false;
	return gmem_guest_command(g, command, page, nr, step);
}

static void gmem_guest_must_run(struct gmem_vm *g, enum gmem_command command,
				u64 page, u64 nr, u64 step)
{
	struct kvm_run *run = g->vcpu->run;
	int ret = gmem_guest_command(g, command, page, nr, step);

	TEST_ASSERT(!ret, "Guest access to pages %lu..%lu: %s, %s at gpa 0x%llx flags 0x%llx",
		    page, page + nr - 1, strerror(ret),
		    exit_reason_str(run->exit_reason), run->memory_fault.gpa,
		    run->memory_fault.flags);
}

void gmem_guest_write(struct gmem_vm *g, u64 page, u64 nr)
{
	g->model->use_list = false;
	gmem_guest_must_run(g, GMEM_WRITE, page, nr, 0);
}

static void gmem_guest_assert_good(struct gmem_vm *g)
{
	struct gmem_model *m = g->model;

	TEST_ASSERT(!m->nr_bad,
		    "Guest finds %lu wrong pages, first page %lu word %lu: 0x%lx, wanted 0x%lx",
		    m->nr_bad, m->bad_page, m->bad_word, m->bad_value,
		    gmem_word(m->tags[m->bad_page], m->bad_word));
}

void gmem_guest_check(struct gmem_vm *g, u64 page, u64 nr, u64 step)
{
	g->model->use_list = false;
	gmem_guest_must_run(g, GMEM_CHECK, page, nr, step);
	gmem_guest_assert_good(g);
}

void gmem_guest_check_list(struct gmem_vm *g, u64 nr, u64 step)
{
	g->model->use_list = true;
	gmem_guest_must_run(g, GMEM_CHECK, 0, nr, step);
	gmem_guest_assert_good(g);
}

u64 *gmem_host_page(struct gmem_vm *g, u64 page)
{
	return (u64 *)(g->shared + page * PAGE_SIZE);
}

void gmem_host_write(struct gmem_vm *g, u64 page)
{
	gmem_write_words(gmem_host_page(g, page), g->model->tags[page]);
}

void gmem_host_check(struct gmem_vm *g, u64 page, u64 step)
{
	const u64 *words = gmem_host_page(g, page);
	u64 tag = g->model->tags[page];
	int bad = gmem_bad_word(words, tag, step);

	/* The word before the page, as index -1, may not be the host's to read. */
	if (bad >= 0)
		TEST_FAIL("Host finds page %lu word %d: 0x%lx, wanted 0x%lx",
			  page, bad, words[bad], gmem_word(tag, bad));
}

static __thread sigjmp_buf host_access_jump;
static __thread bool host_access_armed;
static __thread int host_access_code;

/* That some page is bad, far from here, is for others to act upon. */
static void host_access_sigbus(int signo, siginfo_t *info, void *context)
{
	if (info->si_code == BUS_MCEERR_AO)
		return;
	if (!host_access_armed) {
		signal(SIGBUS, SIG_DFL);
		return;
	}
	/* Without memory for it, the signal comes without what it is about. */
	host_access_code = info->si_code ?: BUS_ADRERR;
	siglongjmp(host_access_jump, 1);
}

/* The handler stays, for other threads may be in need of it. */
int gmem_host_call(void (*fn)(void *arg), void *arg)
{
	struct sigaction action = {
		.sa_sigaction = host_access_sigbus,
		.sa_flags = SA_SIGINFO,
	};

	sigaction(SIGBUS, &action, NULL);
	host_access_code = 0;
	host_access_armed = true;
	if (!sigsetjmp(host_access_jump, 1))
		fn(arg);
	host_access_armed = false;
	return host_access_code;
}

static void host_read(void *byte)
{
	READ_ONCE(*(u8 *)byte);
}

static void host_rewrite(void *byte)
{
	WRITE_ONCE(*(u8 *)byte, READ_ONCE(*(u8 *)byte));
}

int gmem_host_access(void *address, bool write)
{
	return gmem_host_call(write ? host_rewrite : host_read, address);
}

void gmem_assert_enospc(struct gmem_vm *g, u64 page)
{
	u64 offset = page * PAGE_SIZE;
	int ret;

	ret = fallocate(g->fd, FALLOC_FL_KEEP_SIZE, offset, PAGE_SIZE);
	TEST_ASSERT(ret && errno == ENOSPC, "fallocate(): %d, errno: %d", ret, errno);
	TEST_ASSERT_EQ(gmem_pre_fault(g, page, 1), ENOSPC);
	TEST_ASSERT_EQ(gmem_guest_run(g, GMEM_TOUCH, page, 1, GMEM_STEP_ALL), ENOSPC);
	gmem_convert(g, page, 1, false);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(g, page), false), BUS_ADRERR);
	gmem_convert(g, page, 1, true);
}

void gmem_set_tags(struct gmem_vm *g, u64 page, u64 nr, u32 generation)
{
	u64 i;

	for (i = page; i < page + nr; i++)
		g->model->tags[i] = generation ? gmem_tag(0, i, generation) : 0;
}

u64 gmem_host_pfn(void *address)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	u64 entry = 0;

	TEST_ASSERT(fd >= 0, "Cannot open /proc/self/pagemap: run as root");
	TEST_ASSERT(pread(fd, &entry, sizeof(entry), (u64)address / PAGE_SIZE * sizeof(entry)) ==
		    sizeof(entry), "Cannot read /proc/self/pagemap, errno: %d", errno);
	close(fd);

	TEST_ASSERT(entry >> 63, "The host has not mapped address %p", address);
	entry &= BIT_ULL(55) - 1;
	TEST_ASSERT(entry, "No pfn in /proc/self/pagemap: run as root");
	return entry;
}
