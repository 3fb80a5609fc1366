// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules of TDX's S-EPT, held in software beside the NPT of a
 * KVM_X86_SW_PROTECTED_VM
 *
 * What the MMU does to leaves of private memory is taken for what KVM would ask
 * of the TDX module, and counted:
 *
 *	AUG	nothing becomes a leaf
 *	DEMOTE	a leaf becomes a table of leaves one level below
 *	PROMOTE	a table becomes a leaf, which no TDX module does yet
 *	REMOVE	a leaf goes, as a whole, because its memory is converted or punched
 *
 * What S-EPT would not do is counted as a violation, and done.  A leaf that goes
 * for any other reason is lost: the guest had accepted it, and its next touch
 * would be of memory that is not accepted, which kills a TD.  So it does here.
 *
 * Each gfn has a byte, %SEPT_FREE or the level of its leaf, with %SEPT_LOST when
 * that leaf is lost.  Shared memory is mapped by the same root, but is none of
 * S-EPT's business: its bytes are free.  One root is assumed, as a TD has.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/fault-inject.h>
#include <linux/kvm_host.h>
#include <linux/moduleparam.h>
#include <linux/vmalloc.h>

#include "mmu.h"
#include "mmu_internal.h"
#include "spte.h"
#include "tdp_iter.h"

#define SEPT_FREE	0
#define SEPT_LOST	BIT(7)

DEFINE_STATIC_KEY_FALSE(kvm_sept_emul_key);

static bool sept_emul;
module_param(sept_emul, bool, 0644);
MODULE_PARM_DESC(sept_emul, "Hold the rules of S-EPT in each new software-protected VM");

static bool sept_emul_promote = true;
module_param(sept_emul_promote, bool, 0644);
MODULE_PARM_DESC(sept_emul_promote, "Let tables become leaves");

static DECLARE_FAULT_ATTR(fail_sept_demote);
static DECLARE_FAULT_ATTR(fail_sept_busy);
static DECLARE_FAULT_ATTR(fail_sept_remove);

static const char * const counter_names[KVM_SEPT_EMUL_NR_COUNTERS] = {
	[KVM_SEPT_EMUL_DEMOTES]		= "sept_demotes",
	[KVM_SEPT_EMUL_REMOVES]		= "sept_removes",
	[KVM_SEPT_EMUL_AUGS]		= "sept_augs",
	[KVM_SEPT_EMUL_PROMOTES]	= "sept_promotes",
	[KVM_SEPT_EMUL_VIOLATIONS]	= "sept_violations",
};

static atomic64_t totals[KVM_SEPT_EMUL_NR_COUNTERS];

static struct dentry *debugfs_entries[4];

/*
 * A leaf, or what may become one: its gfns and their bytes.  If it reaches out of
 * the memslot, @nr ends there.
 */
struct leaf {
	const struct kvm_memory_slot *slot;
	gfn_t		gfn;
	int		level;
	u8		*state;
	unsigned long	nr;
};

static bool get_leaf(const struct kvm_memory_slot *slot, gfn_t gfn, int level,
		     struct leaf *leaf)
{
	if (!kvm_sept_emul_has_slot(slot) || gfn < slot->base_gfn)
		return false;

	leaf->slot = slot;
	leaf->gfn = gfn;
	leaf->level = level;
	leaf->state = slot->arch.sept_emul.state + (gfn - slot->base_gfn);
	leaf->nr = min(KVM_PAGES_PER_HPAGE(level),
		       slot->base_gfn + slot->npages - gfn);
	return true;
}

static spinlock_t *state_lock(struct kvm *kvm)
{
	return &kvm->arch.sept_emul.lock;
}

/* The state tells, as an attribute may change before its leaves are gone. */
static bool is_mapped(const struct leaf *leaf)
{
	return *leaf->state == leaf->level;
}

static void count(struct kvm *kvm, enum kvm_sept_emul_counter counter,
		  unsigned int nr)
{
	atomic64_add(nr, &kvm->arch.sept_emul.counters[counter]);
	atomic64_add(nr, &totals[counter]);
}

/* Of a dead VM everything is lost, and nothing is accepted any more. */
static void violation(struct kvm *kvm, gfn_t gfn, int level, const char *what)
{
	if (READ_ONCE(kvm->vm_dead))
		return;

	count(kvm, KVM_SEPT_EMUL_VIOLATIONS, 1);
	pr_info_ratelimited("S-EPT rule violated: %s, gfn 0x%llx level %d\n", what,
			    gfn, level);
}

static void set_lost(struct kvm *kvm, const struct leaf *leaf)
{
	memset(leaf->state, SEPT_LOST | leaf->level, leaf->nr);
	kvm->arch.sept_emul.lost = true;
}

static bool is_uniform(struct kvm *kvm, const struct leaf *leaf)
{
	if (!vm_memory_attributes)
		return kvm_gmem_range_is_uniform(leaf->slot, leaf->gfn, leaf->nr);

	return kvm_range_has_memory_attributes(kvm, leaf->gfn,
					       leaf->gfn + leaf->nr,
					       KVM_MEMORY_ATTRIBUTE_PRIVATE,
					       KVM_MEMORY_ATTRIBUTE_PRIVATE);
}

/* What holds for every leaf, however it came to be. */
static void check_leaf(struct kvm *kvm, const struct leaf *leaf, u64 spte)
{
	struct folio *folio = page_folio(pfn_to_page(spte_to_pfn(spte)));

	if (leaf->nr < KVM_PAGES_PER_HPAGE(leaf->level))
		violation(kvm, leaf->gfn, leaf->level, "leaf out of its memslot");
	if (!is_uniform(kvm, leaf))
		violation(kvm, leaf->gfn, leaf->level, "leaf of both attributes");
	if (folio_order(folio) < KVM_HPAGE_GFN_SHIFT(leaf->level))
		violation(kvm, leaf->gfn, leaf->level, "leaf larger than its folio");
}

/* Does a larger leaf map this?  Then another CPU has put it there since. */
static bool outgrown(const struct leaf *leaf)
{
	return *leaf->state > leaf->level && !(*leaf->state & SEPT_LOST);
}

static void aug(struct kvm *kvm, const struct leaf *leaf, u64 spte)
{
	if (!kvm_mem_is_private(kvm, leaf->gfn))
		return;

	/* Its table became a leaf meanwhile, and is about to be cleared. */
	if (outgrown(leaf))
		return;

	count(kvm, KVM_SEPT_EMUL_AUGS, 1);
	if (memchr_inv(leaf->state, SEPT_FREE, leaf->nr))
		violation(kvm, leaf->gfn, leaf->level, "AUG where there is a leaf");
	check_leaf(kvm, leaf, spte);
	memset(leaf->state, leaf->level, leaf->nr);
}

static void demote(struct kvm *kvm, const struct leaf *leaf)
{
	if (!is_mapped(leaf))
		return;

	count(kvm, KVM_SEPT_EMUL_DEMOTES, 1);
	memset(leaf->state, leaf->level - 1, leaf->nr);
}

/* What a leaf replaces: tables, and the one entry that a fault would fill. */
struct growth {
	unsigned int	tables;
	unsigned int	absent;
	const u8	*absent_state;
	unsigned long	absent_nr;
};

static bool allow_absent(struct growth *growth, const u8 *state,
			 unsigned long nr)
{
	growth->absent_state = state;
	growth->absent_nr = nr;
	return !growth->absent++;
}

static bool can_grow_to_2m(struct growth *growth, const u8 *state)
{
	const u8 *end = state + KVM_PAGES_PER_HPAGE(PG_LEVEL_2M);

	for (; state < end; state++) {
		if (*state == PG_LEVEL_4K)
			continue;
		if (*state != SEPT_FREE || !allow_absent(growth, state, 1))
			return false;
	}
	growth->tables++;
	return true;
}

static bool can_grow_to_1g(struct growth *growth, const u8 *state)
{
	const u8 *end = state + KVM_PAGES_PER_HPAGE(PG_LEVEL_1G);
	unsigned long nr = KVM_PAGES_PER_HPAGE(PG_LEVEL_2M);

	for (; state < end; state += nr) {
		if (*state == PG_LEVEL_2M)
			continue;
		if (!memchr_inv(state, SEPT_FREE, nr) ?
		    !allow_absent(growth, state, nr) :
		    !can_grow_to_2m(growth, state))
			return false;
	}
	growth->tables++;
	return true;
}

/* May S-EPT fill the one absent entry, if any, and promote from there up? */
static bool can_grow(const struct leaf *leaf, struct growth *growth)
{
	*growth = (struct growth){};

	return leaf->nr == KVM_PAGES_PER_HPAGE(leaf->level) &&
	       (leaf->level == PG_LEVEL_2M ?
		can_grow_to_2m(growth, leaf->state) :
		can_grow_to_1g(growth, leaf->state));
}

/* The state is set before KVM clears the table: its leaves are not lost. */
static void promote(struct kvm *kvm, const struct leaf *leaf, u64 spte)
{
	struct growth growth;

	if (!kvm_mem_is_private(kvm, leaf->gfn))
		return;

	/* As in aug(): the table above became a leaf meanwhile. */
	if (outgrown(leaf))
		return;

	if (can_grow(leaf, &growth)) {
		count(kvm, KVM_SEPT_EMUL_AUGS, growth.absent);
		count(kvm, KVM_SEPT_EMUL_PROMOTES, growth.tables);
	} else {
		violation(kvm, leaf->gfn, leaf->level, "PROMOTE with holes");
	}
	check_leaf(kvm, leaf, spte);
	memset(leaf->state, leaf->level, leaf->nr);
}

/**
 * __kvm_sept_emul_changed_spte - a leaf came, went, or changed its size
 * @kvm: the VM
 * @gfn: the first gfn of the SPTE
 * @old_spte: what it was
 * @new_spte: what it is
 * @level: its level
 *
 * Leaves of memory whose removal is legal are free already, and those of a table
 * that became a leaf have that one's level: neither is what is mapped here.
 *
 * Context: mmu_lock held, or the VM is being destroyed; the SPTE is written,
 * but a table that it replaces is not cleared yet.  Faults with mmu_lock held
 * for reading may do this at the same time for the same gfns, as a table becomes
 * a leaf in which another CPU maps an entry.  The VM's lock puts one after the
 * other, and either order is right, see outgrown() and allow_absent().
 */
void __kvm_sept_emul_changed_spte(struct kvm *kvm, u64 gfn, u64 old_spte,
				  u64 new_spte, int level)
{
	bool was_present = is_shadow_present_pte(old_spte);
	bool is_present = is_shadow_present_pte(new_spte);
	bool was_leaf = was_present && is_last_spte(old_spte, level);
	bool is_leaf = is_present && is_last_spte(new_spte, level);
	struct leaf leaf;

	if (!kvm->arch.sept_emul.enabled || was_leaf == is_leaf)
		return;

	guard(srcu)(&kvm->srcu);
	if (!get_leaf(gfn_to_memslot(kvm, gfn), gfn, level, &leaf))
		return;

	guard(spinlock)(state_lock(kvm));
	if (is_leaf && !was_present)
		aug(kvm, &leaf, new_spte);
	else if (is_leaf)
		promote(kvm, &leaf, new_spte);
	else if (is_present)
		demote(kvm, &leaf);
	else if (is_mapped(&leaf))
		set_lost(kvm, &leaf);
}

/**
 * __kvm_sept_emul_aug_busy - is the TDX module to be busy for an AUG?
 * @kvm: the VM
 * @iter: at the SPTE to be written
 * @new_spte: what is to be written
 *
 * Context: mmu_lock held for reading: another vCPU may be inside the module.
 *
 * Return: true if so; the fault is to be retried.
 */
bool __kvm_sept_emul_aug_busy(struct kvm *kvm, const struct tdp_iter *iter,
			      u64 new_spte)
{
	struct leaf leaf;

	if (is_shadow_present_pte(iter->old_spte) ||
	    !is_shadow_present_pte(new_spte) ||
	    !is_last_spte(new_spte, iter->level))
		return false;

	guard(srcu)(&kvm->srcu);
	return get_leaf(gfn_to_memslot(kvm, iter->gfn), iter->gfn, iter->level,
			&leaf) &&
	       kvm_mem_is_private(kvm, iter->gfn) &&
	       should_fail(&fail_sept_busy, 1);
}

static bool is_mapped_leaf(struct kvm *kvm, gfn_t gfn, int level)
{
	struct leaf leaf;

	guard(srcu)(&kvm->srcu);
	if (!get_leaf(gfn_to_memslot(kvm, gfn), gfn, level, &leaf))
		return false;

	guard(spinlock)(state_lock(kvm));
	return is_mapped(&leaf);
}

/**
 * __kvm_sept_emul_demote - may a leaf be split?
 * @kvm: the VM
 * @iter: at the leaf
 * @shared: mmu_lock is held for reading only, which S-EPT does not know of
 *
 * A busy TDX module is left alone by all vCPUs and asked once more: with
 * mmu_lock held for writing none of them can come back to it.
 *
 * Context: mmu_lock held; nothing is written yet.
 *
 * Return: 0; or, by fault injection, -ENOMEM or -EBUSY.
 */
int __kvm_sept_emul_demote(struct kvm *kvm, const struct tdp_iter *iter,
			   bool shared)
{
	if (!is_mapped_leaf(kvm, iter->gfn, iter->level))
		return 0;

	if (shared) {
		violation(kvm, iter->gfn, iter->level, "DEMOTE in a fault");
		return 0;
	}
	if (should_fail(&fail_sept_demote, 1))
		return -ENOMEM;
	if (!should_fail(&fail_sept_busy, 1))
		return 0;

	kvm_make_all_cpus_request(kvm, KVM_REQ_OUTSIDE_GUEST_MODE);
	return should_fail(&fail_sept_busy, 1) ? -EBUSY : 0;
}

/* Free what is in the range; what else the leaf maps is lost. */
static void remove_part(struct kvm *kvm, const struct leaf *leaf,
			const struct kvm_gfn_range *range)
{
	gfn_t start = max(leaf->gfn, range->start);
	gfn_t end = min(leaf->gfn + leaf->nr, range->end);

	violation(kvm, leaf->gfn, leaf->level, "REMOVE of a part");
	set_lost(kvm, leaf);
	memset(leaf->state + (start - leaf->gfn), SEPT_FREE, end - start);
}

static bool is_within(const struct leaf *leaf, const struct kvm_gfn_range *range)
{
	return leaf->gfn >= range->start && leaf->gfn + leaf->nr <= range->end;
}

/* Nobody recovers from this, so it is none of the failures that fail-nth counts. */
static bool should_fail_remove(void)
{
	return fail_sept_remove.probability &&
	       should_fail(&fail_sept_remove, 1);
}

/* Pages that cannot be removed are not to be used again, nor is the VM to go on. */
static bool remove_leaf(struct kvm *kvm, const struct leaf *leaf)
{
	if (should_fail_remove() &&
	    kvm_gmem_slot_unmap_failed(leaf->slot, leaf->gfn, leaf->nr)) {
		kvm_vm_dead(kvm);
		return false;
	}

	count(kvm, KVM_SEPT_EMUL_REMOVES, 1);
	memset(leaf->state, SEPT_FREE, leaf->nr);
	return true;
}

/**
 * __kvm_sept_emul_remove - a leaf is about to be unmapped
 * @kvm: the VM
 * @range: on behalf of which range
 * @iter: at the leaf
 *
 * Unless this finds the removal legal, the leaf is lost when it goes.
 *
 * Context: mmu_lock held for writing.
 *
 * Return: true if it cannot be unmapped, which is reported to the file.
 */
bool __kvm_sept_emul_remove(struct kvm *kvm, const struct kvm_gfn_range *range,
			    const struct tdp_iter *iter)
{
	struct leaf leaf;

	if (!get_leaf(range->slot, iter->gfn, iter->level, &leaf))
		return false;

	guard(spinlock)(state_lock(kvm));
	if (!is_mapped(&leaf))
		return false;

	/*
	 * All goes of a memslot that is being deleted, or whose file is being closed.
	 * No file tells private from shared, so that a notifier may get here first.
	 */
	if (!kvm_gmem_slot_is_open(range->slot))
		return !remove_leaf(kvm, &leaf);

	if (!(range->attr_filter & KVM_FILTER_PRIVATE))
		violation(kvm, leaf.gfn, leaf.level, "REMOVE as if shared");
	else if (!is_within(&leaf, range))
		remove_part(kvm, &leaf, range);
	else
		return !remove_leaf(kvm, &leaf);
	return false;
}

/**
 * __kvm_sept_emul_unmapped - private memory was converted or punched
 * @kvm: the VM
 * @range: the range; none of it is mapped
 *
 * A guest accepts what it gets there anew, so that nothing is lost any more.
 *
 * Context: mmu_lock held for writing.
 */
void __kvm_sept_emul_unmapped(struct kvm *kvm, const struct kvm_gfn_range *range)
{
	u8 *state, *end;

	if (!kvm_sept_emul_has_slot(range->slot) ||
	    !(range->attr_filter & KVM_FILTER_PRIVATE))
		return;

	guard(spinlock)(state_lock(kvm));
	if (!kvm->arch.sept_emul.lost)
		return;

	state = range->slot->arch.sept_emul.state;
	end = state + (range->end - range->slot->base_gfn);
	state += range->start - range->slot->base_gfn;
	for (; state < end; state++) {
		if (*state & SEPT_LOST)
			*state = SEPT_FREE;
	}
}

static bool may_replace_table(struct kvm *kvm, gfn_t gfn,
			      const struct leaf *leaf)
{
	struct growth growth;
	const u8 *state = leaf->state + (gfn - leaf->gfn);

	if (!READ_ONCE(sept_emul_promote))
		return false;

	guard(spinlock)(state_lock(kvm));
	return can_grow(leaf, &growth) &&
	       (!growth.absent || (state >= growth.absent_state &&
		state < growth.absent_state + growth.absent_nr));
}

/**
 * __kvm_sept_emul_adjust_level - a fault fills a table, if it is not to go
 * @kvm: the VM
 * @fault: the fault
 * @iter: at an SPTE on the way down
 *
 * No entry of the table can go while mmu_lock is held, so that what is found here
 * still holds when the leaf is written.
 *
 * Context: mmu_lock held for reading.
 */
void __kvm_sept_emul_adjust_level(struct kvm *kvm, struct kvm_page_fault *fault,
				  const struct tdp_iter *iter)
{
	struct leaf leaf;

	if (!fault->is_private || iter->level != fault->goal_level ||
	    iter->level == PG_LEVEL_4K ||
	    !is_shadow_present_pte(iter->old_spte) ||
	    is_large_pte(iter->old_spte))
		return;

	if (!get_leaf(fault->slot, iter->gfn, iter->level, &leaf) ||
	    may_replace_table(kvm, fault->gfn, &leaf))
		return;

	/* As in disallowed_hugepage_adjust(). */
	fault->pfn |= fault->gfn & (KVM_PAGES_PER_HPAGE(iter->level) -
				    KVM_PAGES_PER_HPAGE(iter->level - 1));
	fault->goal_level--;
}

/**
 * __kvm_sept_emul_check_access - is memory there that the guest has accepted?
 * @vcpu: the vCPU
 * @fault: its fault, or one ahead of it, which only puts off the guest's touch
 *
 * Context: kvm->srcu held.
 *
 * Return: 0; -EIO if the VM is dead, for it is not.
 */
int __kvm_sept_emul_check_access(struct kvm_vcpu *vcpu,
				 const struct kvm_page_fault *fault)
{
	struct kvm *kvm = vcpu->kvm;
	struct leaf leaf;

	if (!fault->is_private ||
	    !get_leaf(fault->slot, fault->gfn, PG_LEVEL_4K, &leaf))
		return 0;

	scoped_guard(spinlock, state_lock(kvm)) {
		if (!(*leaf.state & SEPT_LOST))
			return 0;
	}

	violation(kvm, fault->gfn, PG_LEVEL_4K, "access before acceptance");
	kvm_vm_dead(kvm);
	return -EIO;
}

/**
 * kvm_sept_emul_has_slot - does S-EPT map a memslot's private memory?
 * @slot: the memslot, or NULL
 *
 * Return: true if so.
 */
bool kvm_sept_emul_has_slot(const struct kvm_memory_slot *slot)
{
	return slot && slot->arch.sept_emul.state;
}

/**
 * kvm_sept_emul_create_memslot - have state for a new memslot
 * @kvm: the VM
 * @slot: the memslot, with cleared architecture-specific data
 *
 * Return: 0 or -ENOMEM.
 */
int kvm_sept_emul_create_memslot(struct kvm *kvm, struct kvm_memory_slot *slot)
{
	if (!kvm->arch.sept_emul.enabled || !kvm_slot_has_gmem(slot))
		return 0;

	slot->arch.sept_emul.state = __vcalloc(slot->npages, 1,
					       GFP_KERNEL_ACCOUNT);
	return slot->arch.sept_emul.state ? 0 : -ENOMEM;
}

/**
 * kvm_sept_emul_free_memslot - free what kvm_sept_emul_create_memslot() got
 * @slot: the memslot
 */
void kvm_sept_emul_free_memslot(struct kvm_memory_slot *slot)
{
	vfree(slot->arch.sept_emul.state);
	slot->arch.sept_emul.state = NULL;
}

/**
 * kvm_sept_emul_init_vm - decide whether a new VM has S-EPT
 * @kvm: the VM
 *
 * Context: may sleep; no lock held.
 */
void kvm_sept_emul_init_vm(struct kvm *kvm)
{
	spin_lock_init(state_lock(kvm));
	kvm->arch.sept_emul.enabled = READ_ONCE(sept_emul) &&
		kvm->arch.vm_type == KVM_X86_SW_PROTECTED_VM;
	if (kvm->arch.sept_emul.enabled)
		static_branch_inc(&kvm_sept_emul_key);
}

/**
 * kvm_sept_emul_destroy_vm - the VM maps nothing any more
 * @kvm: the VM
 *
 * Context: may sleep; no lock held.
 */
void kvm_sept_emul_destroy_vm(struct kvm *kvm)
{
	if (kvm->arch.sept_emul.enabled)
		static_branch_dec(&kvm_sept_emul_key);
}

static int counter_get(void *data, u64 *val)
{
	*val = atomic64_read(data);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(counter_fops, counter_get, NULL, "%llu\n");

static void create_counters(struct dentry *dir, atomic64_t *counters)
{
	int i;

	for (i = 0; i < KVM_SEPT_EMUL_NR_COUNTERS; i++)
		debugfs_create_file_unsafe(counter_names[i], 0444, dir,
					   &counters[i], &counter_fops);
}

/**
 * kvm_sept_emul_create_debugfs - let a VM's counters be read
 * @kvm: the VM
 */
void kvm_sept_emul_create_debugfs(struct kvm *kvm)
{
	if (kvm->arch.sept_emul.enabled)
		create_counters(kvm->debugfs_dentry,
				kvm->arch.sept_emul.counters);
}

/**
 * kvm_sept_emul_module_init - make what is in debugfs beside the VMs' counters
 */
void __init kvm_sept_emul_module_init(void)
{
	debugfs_entries[0] = debugfs_create_dir("sept_emul", NULL);
	create_counters(debugfs_entries[0], totals);
	debugfs_entries[1] = fault_create_debugfs_attr("fail_sept_demote", NULL,
						       &fail_sept_demote);
	debugfs_entries[2] = fault_create_debugfs_attr("fail_sept_busy", NULL,
						       &fail_sept_busy);
	debugfs_entries[3] = fault_create_debugfs_attr("fail_sept_remove", NULL,
						       &fail_sept_remove);
}

/**
 * kvm_sept_emul_module_exit - undo kvm_sept_emul_module_init()
 */
void kvm_sept_emul_module_exit(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(debugfs_entries); i++)
		debugfs_remove(debugfs_entries[i]);
}
