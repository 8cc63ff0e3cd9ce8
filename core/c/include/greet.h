// The machines of the greeting protocol, for C99. This file is made of core/c/src: see docs/c.md.
//
// All times are in microseconds since an origin that the caller chooses, on a clock that never goes back. All functions are
// for one thread at a time and one machine; there is no global state. A machine has no memory but the storage that it is
// given, which must be aligned for uint64_t.

#ifndef GREET_H
#define GREET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Storage for a server whose names have up to N bytes:
//
//     static uint64_t storage[GREET_SERVER_SIZE(256) / sizeof(uint64_t)];
//
// N is the capacity with which the library was built (GREET_NAME_CAPACITY in its environment, by default 256).
#define GREET_SERVER_SIZE(N) (((size_t)(N) + 48 + 7) / 8 * 8)

// The same for an echo server.
#define GREET_ECHO_SIZE(N) GREET_SERVER_SIZE(N)

// Storage for a delivery.
#define GREET_DELIVERY_SIZE ((size_t)24)

// Later than every time: no deadline, or no timeout.
#define GREET_NEVER UINT64_MAX

// Framing: the first read decides.
#define GREET_FRAMING_AUTO 0

// Framing: a line feed ends a name.
#define GREET_FRAMING_LINE 1

// Framing: each read is a name.
#define GREET_FRAMING_CHUNK 2

// What to do with a connection whose machine is over.
typedef enum {
  // Keep it, and do not read. Look again when the peer has acknowledged something, and at the time in `until`.
  GREET_RELEASE_WAIT,
  // Everything was delivered, but late: read and discard. Close it at the peer's FIN; otherwise look again at the time in
  // `until`.
  GREET_RELEASE_DISCARD,
  // Everything is delivered: close it.
  GREET_RELEASE_CLOSE,
  // The rest cannot be delivered: reset it.
  GREET_RELEASE_RESET,
} greet_release;

// How far a conversation is, and so what the caller has to do with its transport.
typedef enum {
  // Bytes may go both ways.
  GREET_STATE_OPEN,
  // The machine has no more bytes to send: send a FIN after those that it gave, call greet_..._delivered, and continue to
  // receive.
  GREET_STATE_ENDING,
  // Release the connection, once a delivery permits it. The machine takes no bytes and gives none.
  GREET_STATE_OVER,
} greet_state;

// Why a conversation ends.
typedef enum {
  // It does not end yet.
  GREET_END_NONE,
  // The client sent `exit`.
  GREET_END_EXIT,
  // The client sent its FIN.
  GREET_END_BY_PEER,
  // The idle timeout expired.
  GREET_END_IDLE,
  // greet_..._close was called.
  GREET_END_CLOSED,
} greet_end;

// What a server reports.
typedef enum {
  // Nothing.
  GREET_EVENT_KIND_NONE,
  // A name was received; the reply follows.
  GREET_EVENT_KIND_NAME,
  // A name was received that is not UTF-8; the error reply follows.
  GREET_EVENT_KIND_NOT_UTF8,
  // A name was received that is longer than the capacity; the error reply follows.
  GREET_EVENT_KIND_TOO_LONG,
  // The client sent `exit`.
  GREET_EVENT_KIND_EXIT,
} greet_event_kind;

// The delivery of the last bytes and the FIN, from the moment that a machine is over until its connection may be released.
typedef struct greet_delivery greet_delivery;

// The server's side of one echo connection: it sends back what it received. It has the functions of a greet_server, which say
// more, and reports nothing.
typedef struct greet_echo greet_echo;

// The server's side of one conversation.
typedef struct greet_server greet_server;

// The settings of a server.
typedef struct {
  // GREET_FRAMING_AUTO, GREET_FRAMING_LINE or GREET_FRAMING_CHUNK; every other value is as GREET_FRAMING_AUTO.
  uint32_t framing;
  // The delay before each reply, in microseconds.
  uint64_t delay;
  // The idle timeout in microseconds; GREET_NEVER for no timeout.
  uint64_t idle_timeout;
} greet_server_settings;

// An event, and the name that it is about.
typedef struct {
  // What happened.
  greet_event_kind kind;
  // The name, without a NUL at its end; it lies in the server, until the next call for that server. NULL if there is none.
  const uint8_t *name;
  // The length of the name in bytes.
  size_t length;
} greet_server_event;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// A machine is over at `now`, and so much of its connection is not acknowledged: the bytes that were written, and one for the
// FIN. Returns the delivery, which lies in `storage`; NULL if that is smaller than GREET_DELIVERY_SIZE or not aligned.
//
// If the network stack cannot tell what is acknowledged, use no delivery: discard the input that is there, and close the
// connection in order.
//
// # Safety
// `storage` is null or has `size` bytes, which nothing else uses as long as the delivery is used.
greet_delivery *greet_delivery_init(void *storage,
                                    size_t size,
                                    uint64_t now,
                                    size_t unacknowledged);

// What to do at `now`, when so much is not acknowledged. `limit` is how many microseconds the peer may acknowledge nothing:
// 2,000,000 or more. Writes when to look again to `until`, which may be NULL.
greet_release greet_delivery_look(greet_delivery *delivery,
                                  uint64_t now,
                                  size_t unacknowledged,
                                  uint64_t limit,
                                  uint64_t *until);

// An echo server whose connection was opened at `now`. After `idle_timeout` microseconds without a byte it ends the connection;
// GREET_NEVER for no such timeout.
//
// Returns the echo server, which lies in `storage`. NULL if that is not aligned, or is smaller than
// GREET_ECHO_SIZE(greet_server_capacity()) bytes.
//
// # Safety
// `storage` is null or has `size` bytes, which nothing else uses as long as the echo server is used.
greet_echo *greet_echo_init(void *storage,
                            size_t size,
                            uint64_t idle_timeout,
                            uint64_t now);

// Offers received bytes. Returns how many it took; offer the others again after the next greet_echo_transmit.
//
// # Safety
// `bytes` is null or has `length` bytes.
size_t greet_echo_receive(greet_echo *echo,
                          uint64_t now,
                          const uint8_t *bytes,
                          size_t length);

// The client has sent its FIN, and the echo server has taken every byte before it.
void greet_echo_receive_end(greet_echo *echo, uint64_t now);

// Writes the next bytes to send to the front of `bytes`, and returns how many there are; 0 if there are none now.
//
// # Safety
// `bytes` is null or has `room` bytes.
size_t greet_echo_transmit(greet_echo *echo,
                           uint64_t now,
                           uint8_t *bytes,
                           size_t room);

// Bytes from greet_echo_transmit, or the FIN, have left only now.
void greet_echo_progress(greet_echo *echo, uint64_t now);

// In GREET_STATE_ENDING: the network stack has all bytes, and the FIN after them.
void greet_echo_delivered(greet_echo *echo, uint64_t now);

// The time is `now`. Call it at greet_echo_deadline; earlier calls change nothing.
void greet_echo_handle_timeout(greet_echo *echo, uint64_t now);

// When to call greet_echo_handle_timeout if nothing else happens; GREET_NEVER if no timeout is running.
uint64_t greet_echo_deadline(const greet_echo *echo);

// How far the connection is; GREET_STATE_OVER for NULL.
greet_state greet_echo_state(const greet_echo *echo);

// Why the connection ends, once it does.
greet_end greet_echo_end(const greet_echo *echo);

// Ends the connection from this side. The bytes that the echo server holds are still sent; new input is not taken.
void greet_echo_close(greet_echo *echo,
                      uint64_t now);

// The longest name that a server of this library takes, in bytes.
size_t greet_server_capacity(void);

// The defaults of the protocol: GREET_FRAMING_AUTO, no delay, an idle timeout of 300 seconds.
greet_server_settings greet_server_defaults(void);

// A server whose conversation begins at `now`: it owes its greeting. `settings` may be NULL, for the defaults.
//
// Returns the server, which lies in `storage`. NULL if that is not aligned, or is smaller than
// GREET_SERVER_SIZE(greet_server_capacity()) bytes.
//
// # Safety
// `storage` is null or has `size` bytes, which nothing else uses as long as the server is used.
greet_server *greet_server_init(void *storage,
                                size_t size,
                                const greet_server_settings *settings,
                                uint64_t now);

// Offers received bytes: all bytes of one read, or those that the server left of one. Returns how many it took. Offer the
// others again after the next greet_server_transmit, before those of another read. Writes what happened to `event`, which
// may be NULL.
//
// # Safety
// `bytes` is null or has `length` bytes.
size_t greet_server_receive(greet_server *server,
                            uint64_t now,
                            const uint8_t *bytes,
                            size_t length,
                            greet_server_event *event);

// The client has sent its FIN, and the server has taken every byte before it.
void greet_server_receive_end(greet_server *server, uint64_t now);

// Writes the next bytes to send to the front of `bytes`, which has room for `room` bytes, and returns how many there are; 0 if
// there are none now.
//
// # Safety
// `bytes` is null or has `room` bytes.
size_t greet_server_transmit(greet_server *server,
                             uint64_t now,
                             uint8_t *bytes,
                             size_t room);

// Bytes from greet_server_transmit, or the FIN, have left only now: the network stack was slow to take them, or the client
// acknowledged them.
void greet_server_progress(greet_server *server,
                           uint64_t now);

// In GREET_STATE_ENDING: the network stack has all bytes, and the FIN after them.
void greet_server_delivered(greet_server *server, uint64_t now);

// The time is `now`. Call it at greet_server_deadline; earlier calls change nothing.
void greet_server_handle_timeout(greet_server *server, uint64_t now);

// When to call greet_server_handle_timeout if nothing else happens; GREET_NEVER if no timeout is running.
uint64_t greet_server_deadline(const greet_server *server);

// How far the conversation is; GREET_STATE_OVER for NULL.
greet_state greet_server_state(const greet_server *server);

// Why the conversation ends, once it does.
greet_end greet_server_end(const greet_server *server);

// Ends the conversation from this side. The bytes that the server owes are still sent; new input is not taken.
void greet_server_close(greet_server *server,
                        uint64_t now);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GREET_H */
