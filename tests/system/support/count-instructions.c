// A plugin of QEMU's that counts the instructions of the emulated processor: -plugin PLUGIN.so,count=FILE
// The first eight bytes of FILE are the count, to be read while the machine runs.

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// What is used of QEMU's interface for plugins, version 1 (docs/devel/tcg-plugins.rst there).
typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum registers { NO_REGISTERS };
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*on_translation)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*on_execution)(unsigned, void *),
                                                 enum registers registers, void *data);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static volatile uint64_t *count;

// A block is executed from its first instruction to its last; one that an exception leaves early counts as a whole.
static void on_execution(unsigned processor, void *instructions) {
    (void)processor;
    *count += (uintptr_t)instructions;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    void *instructions = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, on_execution, NO_REGISTERS, instructions);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *information, int count_of_arguments,
                                                              char **arguments) {
    (void)information;
    if (count_of_arguments != 1 || strncmp(arguments[0], "count=", 6) != 0) {
        fputs("count-instructions: count=FILE is needed, and nothing else\n", stderr);
        return -1;
    }
    int file = open(arguments[0] + 6, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || ftruncate(file, sizeof *count) != 0) {
        perror(arguments[0] + 6);
        return -1;
    }
    void *memory = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) {
        perror(arguments[0] + 6);
        return -1;
    }
    count = memory;
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
