// SPDX-License-Identifier: GPL-2.0-only
/*
 * CONFIG_KVM_SEPT_EMUL for the selftests: VMs whose private memory is mapped by
 * the rules that S-EPT has on TDX, and what the checker of those rules counts.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cgroup_util.h"
#include "guest_memfd_sept.h"

static bool set_parameter(const char *name, bool on)
{
	char path[128];
	bool was;

	snprintf(path, sizeof(path), "/sys/module/kvm/parameters/%s", name);
	TEST_ASSERT(!access(path, W_OK), "No %s: set CONFIG_KVM_SEPT_EMUL, be root", path);
	was = get_kvm_param_bool(name);
	gmem_write_file(path, on ? "Y" : "N");
	return was;
}

bool gmem_sept_set(bool on)
{
	return set_parameter("sept_emul", on);
}

bool gmem_sept_promote(bool on)
{
	return set_parameter("sept_emul_promote", on);
}

/* The folder is called after who created the VM, i.e. this process. */
void gmem_debugfs_path(struct gmem_vm *g, const char *name, char *path, size_t size)
{
	snprintf(path, size, "/sys/kernel/debug/kvm/%d-%d/%s", getpid(), g->vm->fd,
		 name);
}

u64 gmem_sept_stat(struct gmem_vm *g, const char *name)
{
	char path[128], text[32];
	ssize_t len;

	gmem_debugfs_path(g, name, path, sizeof(path));
	len = read_text(path, text, sizeof(text));
	TEST_ASSERT(len > 0, "Cannot read %s: %ld: has the VM no S-EPT?", path, len);
	return strtoul(text, NULL, 10);
}

void gmem_sept_read(struct gmem_vm *g, struct gmem_sept *sept)
{
	sept->demotes = gmem_sept_stat(g, "sept_demotes");
	sept->removes = gmem_sept_stat(g, "sept_removes");
	sept->augs = gmem_sept_stat(g, "sept_augs");
	sept->promotes = gmem_sept_stat(g, "sept_promotes");
	sept->violations = gmem_sept_stat(g, "sept_violations");
}
