// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random conversions of ranges of guest_memfd against a model of attributes
 * and contents.  After each one check the pages of the range and 1000 others,
 * and all pages every 100 conversions; the HugeTLB pool must end as it began.
 * The seed is printed, and the same seed repeats the same run.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include "guest_memfd_util.h"
#include "kvm_test_harness.h"

#define NR_OTHERS	1000
#define NR_HOST		50
#define NR_WHOLE	64
#define NR_WRITES	16
#define CHECK_ALL_EVERY	100
/* 4K leaves come one fault each: do not ask for too many of them. */
#define NR_WITHOUT_MMAP	2000

static u32 nr_conversions = 1000;
static u32 seed = 1;
static u64 memory_size = SZ_2G;

struct stress {
	struct gmem_vm g;
	struct hugetlb_pool pool;
	struct kvm_random_state rng;
	u64 nr_hugepages;
	u32 generation;
	bool *private;
	/* Tags of memory that is not the guest's at the moment, if distinct. */
	u64 *private_tags;
	u64 *shared_tags;
};

FIXTURE(guest_memfd_conversion_stress)
{
	struct stress stress;
};

FIXTURE_VARIANT(guest_memfd_conversion_stress)
{
	u8 order;
	u64 flags;
};

FIXTURE_VARIANT_ADD(guest_memfd_conversion_stress, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(guest_memfd_conversion_stress, 4k_mmap) {
	.order = 0,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(guest_memfd_conversion_stress, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_conversion_stress, 2m_mmap) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(guest_memfd_conversion_stress, 1g) {
	.order = ORDER_1G,
};

FIXTURE_VARIANT_ADD(guest_memfd_conversion_stress, 1g_mmap) {
	.order = ORDER_1G,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_SETUP(guest_memfd_conversion_stress)
{
	struct stress *s = &self->stress;
	struct gmem_config config = {
		.order = variant->order,
		.size = memory_size,
		.flags = variant->flags,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};
	u64 page_size = gmem_page_size(variant->order);

	if (variant->order) {
		s->nr_hugepages = hugetlb_pool_require(page_size, memory_size / page_size);
		hugetlb_pool_read(page_size, &s->pool);
	}
	gmem_vm_create(&s->g, &config);
	s->rng = new_kvm_random_state(seed);
	s->private = calloc(s->g.nr_pages, sizeof(*s->private));
	s->private_tags = calloc(s->g.nr_pages, sizeof(*s->private_tags));
	s->shared_tags = calloc(s->g.nr_pages, sizeof(*s->shared_tags));
	TEST_ASSERT(s->private && s->private_tags && s->shared_tags, "Out of memory");
	memset(s->private, true, s->g.nr_pages * sizeof(*s->private));
}

FIXTURE_TEARDOWN(guest_memfd_conversion_stress)
{
	struct stress *s = &self->stress;
	u64 page_size = gmem_page_size(variant->order);

	gmem_vm_free(&s->g);
	if (variant->order) {
		hugetlb_pool_assert_eq(page_size, &s->pool);
		hugetlb_pool_set(page_size, s->nr_hugepages);
	}
}

static u64 random_below(struct stress *s, u64 end)
{
	return kvm_random_u64_in_range(&s->rng, 0, end - 1);
}

/* Let every magnitude be as likely as any other, up to the whole file. */
static void random_range(struct stress *s, u64 *first, u64 *nr)
{
	u64 nr_pages = s->g.nr_pages;
	u64 magnitude = BIT_ULL(random_below(s, __builtin_ctzl(nr_pages) + 1));

	*nr = magnitude + (kvm_random_bool(&s->rng) ? random_below(s, magnitude) : 0);
	if (*nr > nr_pages)
		*nr = nr_pages;
	*first = random_below(s, nr_pages - *nr + 1);
	if (__kvm_random_bool(&s->rng, 30))
		*first = *first / magnitude * magnitude;
}

static void model_convert_page(struct stress *s, u64 page, bool to_private)
{
	u64 *tag = &s->g.model->tags[page];

	if (s->private[page] == to_private)
		return;
	s->private[page] = to_private;

	/* With MMAP the page is the same one, and keeps its contents. */
	if (gmem_has_mmap(&s->g))
		return;

	if (!to_private) {
		s->private_tags[page] = *tag;
		*tag = s->shared_tags[page];
	} else {
		s->shared_tags[page] = *tag;
		*tag = gmem_vm_wide_attributes() ? s->private_tags[page] : 0;
	}
}

static void convert(struct stress *s, u64 first, u64 nr, bool to_private)
{
	u64 page;

	gmem_convert(&s->g, first, nr, to_private);
	for (page = first; page < first + nr; page++)
		model_convert_page(s, page, to_private);
}

/* Merge at once, or have a worker do it while other things go on. */
static void change_merge_delay(struct stress *s)
{
	static const unsigned int delays[] = { 0, 1, 20 };

	gmem_set_merge_delay(delays[random_below(s, ARRAY_SIZE(delays))]);
}

/* The host reads what is shared, and is refused what is private. */
static void host_check_page(struct stress *s, u64 page)
{
	if (!gmem_host_reaches(&s->g))
		return;

	if (!s->private[page])
		gmem_host_check(&s->g, page, GMEM_STEP_SPREAD);
	else if (gmem_in_place(&s->g))
		TEST_ASSERT(gmem_host_access(gmem_host_page(&s->g, page), false),
			    "The host can read page %lu, which is private", page);
}

static void check_random_pages(struct stress *s, u64 first, u64 nr_pages,
			       u64 nr, u64 step)
{
	u64 i;

	for (i = 0; i < nr; i++)
		s->g.model->list[i] = first + random_below(s, nr_pages);
	gmem_guest_check_list(&s->g, nr, step);
	for (i = 0; i < min_t(u64, nr, NR_HOST); i++)
		host_check_page(s, s->g.model->list[i]);
}

static void check_range(struct stress *s, u64 first, u64 nr)
{
	if (gmem_has_mmap(&s->g) || nr <= NR_WITHOUT_MMAP)
		gmem_guest_check(&s->g, first, nr, GMEM_STEP_SPREAD);
	else
		check_random_pages(s, first, nr, NR_WITHOUT_MMAP, GMEM_STEP_SPREAD);

	/* The ends are where splitting goes wrong, if it does. */
	gmem_guest_check(&s->g, first, 1, GMEM_STEP_ALL);
	gmem_guest_check(&s->g, first + nr - 1, 1, GMEM_STEP_ALL);
	if (first)
		gmem_guest_check(&s->g, first - 1, 1, GMEM_STEP_ALL);
	if (first + nr < s->g.nr_pages)
		gmem_guest_check(&s->g, first + nr, 1, GMEM_STEP_ALL);
	host_check_page(s, first);
	host_check_page(s, first + nr - 1);
	check_random_pages(s, first, nr, NR_WHOLE, GMEM_STEP_ALL);
}

/* Write new data, by the host where it may, for the next checks to find. */
static void write_some(struct stress *s, u64 first, u64 nr)
{
	u64 i, page;

	for (i = 0; i < NR_WRITES; i++) {
		page = first + random_below(s, nr);
		gmem_set_tags(&s->g, page, 1, ++s->generation);
		if (!s->private[page] && gmem_host_reaches(&s->g) &&
		    kvm_random_bool(&s->rng))
			gmem_host_write(&s->g, page);
		else
			gmem_guest_write(&s->g, page, 1);
	}
}

static void check_all(struct stress *s, u32 done)
{
	ksft_print_msg("seed %u: %u of %u conversions, checking everything\n",
		       seed, done, nr_conversions);
	gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_SPREAD);
}

TEST_F_TIMEOUT(guest_memfd_conversion_stress, random, 8 * GMEM_TIMEOUT)
{
	struct stress *s = &self->stress;
	u64 first, nr, page;
	u32 i;

	ksft_print_msg("seed %u: filling %lu MiB\n", seed, memory_size / SZ_1M);
	gmem_set_tags(&s->g, 0, s->g.nr_pages, ++s->generation);
	gmem_guest_write(&s->g, 0, s->g.nr_pages);

	for (i = 1; i <= nr_conversions; i++) {
		if (s->g.config.order)
			change_merge_delay(s);
		random_range(s, &first, &nr);
		convert(s, first, nr, kvm_random_bool(&s->rng));
		check_range(s, first, nr);
		check_random_pages(s, 0, s->g.nr_pages, NR_OTHERS, GMEM_STEP_SPREAD);
		write_some(s, first, nr);
		if (i % CHECK_ALL_EVERY == 0)
			check_all(s, i);
	}

	gmem_guest_check(&s->g, 0, s->g.nr_pages, GMEM_STEP_ALL);
	for (page = 0; page < s->g.nr_pages; page++) {
		if (!s->private[page])
			host_check_page(s, page);
	}
}

int main(int argc, char **argv)
{
	const struct gmem_option options[] = {
		{ "-n", "random conversions", .number = &nr_conversions },
		{ "-s", "seed", .number = &seed },
		{ "-b", "memory of the VM, a power of two", .size = &memory_size },
		{}
	};

	argc = gmem_take_options(argc, argv, options);
	TEST_ASSERT(memory_size >= SZ_2M && !(memory_size & (memory_size - 1)),
		    "-b must be a power of two from 2M on");
	return test_harness_run(argc, argv);
}
