# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
#
# How the root is made; sourced by build. The hash of this file is part of the image's name.
# The caller sets: here, work (scratch), out (result), root (the tree in it), suite, say, die.

# The package list without comments; $1 selects a suite: "" for the release itself, else
# "backports".
packages() {
    sed 's/#.*//' "$here/packages" | awk -v from="$1" 'NF && $2 == from { print $1 }'
}

# The host's own Debian mirrors, from its apt sources, both styles. Prints "URI" of the entry
# whose suites match $1.
mirror_of() {
    {
        cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
            sed -n 's/^deb  *\(\[[^]]*\] *\)\{0,1\}\([^ ]*\)  *\([^ ]*\) .*/\2 \3/p'
        for f in /etc/apt/sources.list.d/*.sources; do
            [ -e "$f" ] || continue
            awk 'function out() { if (uri != "") print uri, suites; uri = ""; suites = "" }
                 /^$/ { out() } /^#/ { next }
                 /^URIs:/ { uri = $2 } /^Suites:/ { sub(/^Suites: */, ""); suites = $0 }
                 END { out() }' "$f"
        done
    } | awk -v want="$1" '{ for (i = 2; i <= NF; i++) if ($i == want) { print $1; exit } }'
}

reachable() {
    /usr/lib/apt/apt-helper download-file "$1/dists/$2/InRelease" "$work/probe" >/dev/null 2>&1
}

# The lines of the new root's sources.list: the release and its backports must be there, updates
# may be.
sources() {
    # shellcheck disable=SC1091
    host=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    main=$(mirror_of "$host")
    [ -n "$main" ] || die "no Debian mirror for '$host' in /etc/apt: this needs Debian 12 or 13"
    reachable "$main" "$suite-backports" || die "no $suite-backports at $main, or not reachable"
    echo "deb $main $suite main"
    echo "deb $main $suite-backports main"
    if reachable "$main" "$suite-updates"; then
        echo "deb $main $suite-updates main"
    fi
    security=$(mirror_of "$host-security")
    if [ -n "$security" ] && reachable "$security" "$suite-security"; then
        echo "deb $security $suite-security main"
    fi
}

need() {
    command -v "$1" >/dev/null || die "$1 is missing: apt-get install $2"
}

in_root() {
    chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
        DEBIAN_FRONTEND=noninteractive INITRD=No "$@"
}

bootstrap() {
    mirror=$(awk '{ print $2; exit }' "$work/sources")
    if command -v mmdebstrap >/dev/null; then
        mmdebstrap --quiet --variant=apt "$suite" "$root" "deb $mirror $suite main"
    else
        need debootstrap "mmdebstrap"
        debootstrap --variant=minbase "$suite" "$root" "$mirror"
    fi
}

configure_root() {
    cp "$work/sources" "$root/etc/apt/sources.list"
    rm -f "$root"/etc/apt/sources.list.d/*
    cp "$here/exclude" "$root/etc/dpkg/dpkg.cfg.d/tblab"
    # The tree is thrown away if the power fails half way, so no package needs an fsync.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    apt-config dump | grep -E '^Acquire::https?::Proxy' >"$root/etc/apt/apt.conf.d/90proxy" || true
    printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' \
        >"$root/etc/apt/apt.conf.d/80tblab"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # No service may start inside a build.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod +x "$root/usr/sbin/policy-rc.d"
    # The guests have an initramfs of their own (see initramfs()); Debian's would take minutes
    # to make.
    mkdir -p "$root/etc/initramfs-tools"
    printf 'update_initramfs=no\nbackup_initramfs=no\n' \
        >"$root/etc/initramfs-tools/update-initramfs.conf"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount --bind /dev "$root/dev"
}

get() {
    in_root apt-get -q -y -o Dpkg::Options::=--force-confold install "$@"
}

install_packages() {
    in_root apt-get -q update
    # shellcheck disable=SC2046
    get $(packages "")
    # shellcheck disable=SC2046
    get -t "$suite-backports" $(packages backports)
    in_root apt-get clean
}

# xz costs an emulated CPU about a second per ten modules, so they are stored plain. Debian's
# kernels are signed inside the compressed file; the bytes that load are the same.
expand_modules() {
    for dir in "$root"/usr/lib/modules/*; do
        release=${dir##*/}
        find "$dir/kernel" -name '*.ko.xz' -print0 | xargs -0 -r -n 200 -P "$(nproc)" xz -d
        in_root depmod "$release"
    done
}

finish_root() {
    umount "$root/dev" "$root/sys" "$root/proc"
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/* \
        "$root/usr/sbin/policy-rc.d" "$root"/boot/initrd.img*
    mkdir -p "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial" \
        "$root/opt/tbib"
    : >"$root/etc/machine-id"
    in_root passwd -q -d root
    # shellcheck disable=SC2016
    in_root dpkg-query -W -f '${Package} ${Version}\n' >"$out/versions"
}

# A program of the tree runs with the tree's own loader and libraries: no chroot, no root
# rights.
wrapper() {
    cat >"$out/$1" <<EOF
#!/bin/sh
d=\$(dirname "\$(readlink -f "\$0")")/root
lib=\$d/usr/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=\$lib/qemu exec "\$d/usr/lib64/ld-linux-x86-64.so.2" --library-path "\$lib" \\
    "\$d/usr/bin/$2" $3 "\$@"
EOF
    chmod +x "$out/$1"
}

# Asked by name: a list of all devices would load every module that it finds, and where the host
# has another QEMU those are of another build.
has_vfio_user() {
    command -v "$1" >/dev/null &&
        "$1" -device vfio-user-pci,help 2>/dev/null | grep -q "^vfio-user-pci options"
}

wrappers() {
    wrapper mksquashfs mksquashfs ""
    if has_vfio_user qemu-system-x86_64; then
        ln -s "$(command -v qemu-system-x86_64)" "$out/qemu"
    else
        # shellcheck disable=SC2016
        wrapper qemu qemu-system-x86_64 \
            '-L "$d/usr/share/qemu" -L "$d/usr/share/seabios" -L "$d/usr/lib/ipxe/qemu"'
    fi
    has_vfio_user "$out/qemu" || die "this QEMU has no vfio-user-pci"
}

# Squashfs because its module is the smallest of the read-only file systems, and not compressed
# because an emulated CPU would have to unpack it.
disk_image() {
    "$out/mksquashfs" "$root" "$out/root.squashfs" -quiet -no-progress -noI -noD -noF -noX \
        -no-fragments -no-duplicates -processors 2
}

# Unpacks a kernel on the host, which takes an emulated CPU a second: QEMU starts an ELF kernel
# by its PVH entry. One that is not packed with zstd stays as it is.
unpacked_kernel() {
    loader=$root/usr/lib64/ld-linux-x86-64.so.2
    lib=$root/usr/lib/x86_64-linux-gnu
    grep -abo "$(printf '\050\265\057\375')" "$1" | cut -d: -f1 | while read -r offset; do
        # The kernel's length follows the frame, so zstd complains about trailing bytes after it
        # has written all.
        tail -c "+$((offset + 1))" "$1" |
            "$loader" --library-path "$lib" "$root/usr/bin/zstd" -dcq 2>/dev/null >"$2.part" || true
        if [ "$(head -c 4 "$2.part" | tail -c 3)" = ELF ]; then
            mv "$2.part" "$2"
            break
        fi
    done
    rm -f "$2.part"
}

kernel_images() {
    for dir in "$root"/usr/lib/modules/*; do
        release=${dir##*/}
        mkdir -p "$out/kernels/$release"
        for from in "$root/boot/vmlinuz-$release" "$dir/vmlinuz"; do
            [ -e "$from" ] && cp "$from" "$out/kernels/$release/vmlinuz" && break
        done
        [ -s "$out/kernels/$release/vmlinuz" ] || die "kernel $release has no vmlinuz"
        unpacked_kernel "$out/kernels/$release/vmlinuz" "$out/kernels/$release/vmlinux"
    done
}

