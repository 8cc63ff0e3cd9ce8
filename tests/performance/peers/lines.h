// Names as lines, and a reply to each: what epoll-lines.c and threads-lines.c have in common.
//
// A line that is longer than a read is not answered rightly: no limits, no UTF-8, only what must be done for a reply.

#include <string.h>
#include <sys/types.h>
#include <unistd.h>

// What one read takes; the shortest name, 1 byte with its line feed, has a reply of 9.
enum { READ = 16 * 1024, LONGEST_REPLIES = 9 * READ };

struct lines {
    int connection;
    size_t length; // of the line that is not whole yet
    char bytes[READ];
};

// Reads once, and answers each whole line, all in one write. 0, or -1 if the conversation is over.
static int answer_lines(struct lines *lines)
{
    char replies[LONGEST_REPLIES], *reply = replies, *name = lines->bytes, *end;
    ssize_t length = read(lines->connection, lines->bytes + lines->length, READ - lines->length);

    if (length <= 0)
        return -1;
    size_t rest = lines->length + length;
    while ((end = memchr(name, '\n', rest))) {
        size_t size = end - name;
        if (size == 4 && memcmp(name, "exit", 4) == 0)
            return -1;
        memcpy(reply, "Hello, ", 7);
        memcpy(reply + 7, name, size);
        memcpy(reply + 7 + size, "!\n", 2);
        reply += size + 9;
        rest -= size + 1;
        name = end + 1;
    }
    memmove(lines->bytes, name, rest);
    lines->length = rest;
    length = reply - replies;
    return length == 0 || write(lines->connection, replies, length) == length ? 0 : -1;
}
