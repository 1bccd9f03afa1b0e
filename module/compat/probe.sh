#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Looks into the headers that the module is built against and says what they have.
#
#   probe.sh SRCTREE OUT
#
# Headers are asked, never version numbers: distributions backport. OUT is only
# touched when its content changes. compat.h turns the answers into the newest
# kernel's interface.
set -eu
srctree=$1 out=$2

# has NAME HEADER PATTERN: TBIB_HAVE_NAME if a line of include/HEADER matches
has() {
	if tr '\n\t' '  ' <"$srctree/include/$2" 2>/dev/null |
	   grep -qE -- "$3"; then
		echo "#define TBIB_HAVE_$1 1"
	fi
}

# file NAME HEADER: TBIB_HAVE_NAME if include/HEADER exists
file() {
	if [ -e "$srctree/include/$2" ]; then
		echo "#define TBIB_HAVE_$1 1"
	fi
}

[ -e "$srctree/include/linux/thunderbolt.h" ] || {
	echo "probe.sh: no kernel headers in $srctree" >&2
	exit 1
}

{
	echo '/* SPDX-License-Identifier: GPL-2.0-only */'
	echo '/* Written by compat/probe.sh. */'

	# linux
	has SYSTEM_PERCPU_WQ linux/workqueue.h 'system_percpu_wq;'
	has IMPORT_NS_STRING linux/module.h \
		'define MODULE_IMPORT_NS\(ns\) +MODULE_INFO\(import_ns, ns\)'
	has DMABUF_INVALIDATE linux/dma-buf.h \
		'\(\*invalidate_mappings\)\(struct dma_buf_attachment'
	has HRTIMER_SETUP linux/hrtimer.h 'void hrtimer_setup\('

	# thunderbolt: 7.2 dropped the id argument and the PCI device
	has TB_PROBE_WITH_ID linux/thunderbolt.h \
		'\(\*probe\)\(struct tb_service \*svc, const struct tb_service_id'
	has TB_NHI_PDEV linux/thunderbolt.h \
		'struct tb_nhi \{ +spinlock_t lock; +struct pci_dev \*pdev;'
	has TB_RING_THROTTLING linux/thunderbolt.h 'int tb_ring_throttling\('

	# verbs
	has IB_UMEM_GET_VA rdma/ib_umem.h 'ib_umem_get_va\('
	has PRE_DESTROY_CQ rdma/ib_verbs.h '\(\*pre_destroy_cq\)'
	has RESIZE_USER_CQ rdma/ib_verbs.h '\(\*resize_user_cq\)'
	has REG_MR_DMAH rdma/ib_verbs.h \
		'\(\*reg_user_mr\)\([^)]*struct ib_dmah'
} >"$out.tmp.$$"

if cmp -s "$out.tmp.$$" "$out"; then
	rm -f "$out.tmp.$$"
else
	mv "$out.tmp.$$" "$out"
fi
