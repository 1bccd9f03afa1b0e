# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
#
# How an initrd is made; sourced by build and debug-kernel. The hash of this file is part of the
# names of what they make. The caller sets here.

# initrd_tree ROOT TREE: what every initrd holds: busybox, the first program, the overlay folder
initrd_tree() {
    for folder in bin dev proc sys root lower rw lib; do
        mkdir -p "$2/$folder"
    done
    cp "$1/usr/bin/busybox" "$2/bin/busybox"
    for applet in sh cat cp echo insmod ln mkdir mount printf switch_root; do
        ln -s busybox "$2/bin/$applet"
    done
    cp "$here/initramfs/init" "$here/initramfs/masked" "$2/"
    cp -a "$here/overlay" "$2/overlay"
    cp "$1/usr/bin/busybox" "$2/overlay/usr/lib/tblab/busybox"
}

# initrd_pack ROOT TREE FILE
initrd_pack() {
    (cd "$2" && find . | "$1/usr/bin/busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$3"
}
