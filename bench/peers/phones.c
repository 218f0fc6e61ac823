/* Phones: many WebSocket clients in one thread, which count what they get and how late it is.
 *
 *     phones PORT MODE PATHS STALLED
 *
 * PATHS is a file with one request path a line, one phone a line. MODE is "ws" or "socketio". The last
 * STALLED phones read nothing after their handshake. A line on standard input is a command: "count"
 * begins a new count, "report" prints it as JSON, the end of the input ends the program. A frame that
 * holds "t=" and sixteen digits (microseconds of CLOCK_MONOTONIC) says when it was made.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTING, SHAKING, OPEN, GONE };
enum { IN_FLIGHT = 128, READ_BYTES = 1 << 18, BUCKETS = 4000, STAMP = 16 };

struct phone {
  int fd, state, stalled;
  char *path;
  char *rest; /* the beginning of a frame that has not come whole */
  size_t rest_len;
  uint64_t frames;
};

static struct phone *phones;
static int count, opened, lost, started, epoll_fd, port, socketio;
static uint64_t frames, bytes, stamped, late[BUCKETS];
static uint64_t begun_us, connect_begun_us, connected_us;
static char buffer[READ_BYTES * 2];

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Buckets of 1/8 of a power of two: enough for a p99, and no memory per sample. */
static int bucket(uint64_t us) {
  if (us < 8) return (int)us;
  int log = 63 - __builtin_clzll(us);
  return log * 8 + (int)((us >> (log - 3)) & 7);
}

static double bucket_us(int b) {
  if (b < 24) return b < 8 ? b : (double)((8 + b % 8) << (b / 8)) / 8;
  return (double)(8 + b % 8) * (double)(1ull << (b / 8)) / 8.0;
}

static double percentile(double share) {
  uint64_t want = (uint64_t)(share * (double)stamped), seen = 0;
  for (int b = 0; b < BUCKETS; b++) {
    seen += late[b];
    if (seen > want) return bucket_us(b);
  }
  return 0;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void watch(struct phone *p, uint32_t events, int op) {
  struct epoll_event e = {.events = events, .data.ptr = p};
  if (epoll_ctl(epoll_fd, op, p->fd, &e) < 0) die("epoll_ctl");
}

static void begin(struct phone *p) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (p->fd < 0) die("socket");
  if (p->stalled) {
    int small = 4096;
    setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  }
  p->state = CONNECTING;
  if (connect(p->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) die("connect");
  watch(p, EPOLLOUT, EPOLL_CTL_ADD);
}

static void shake(struct phone *p) {
  char request[1024];
  int n = snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                   p->path, port);
  if (write(p->fd, request, n) != n) die("handshake");
  p->state = SHAKING;
  watch(p, EPOLLIN, EPOLL_CTL_MOD);
}

/* A masked frame with an all-zero mask: what clients must send, at no cost. */
static void say(struct phone *p, int opcode, const char *text, size_t n) {
  char frame[256] = {(char)(0x80 | opcode), (char)(0x80 | n)};
  memcpy(frame + 6, text, n);
  if (write(p->fd, frame, n + 6) < 0 && errno != EAGAIN) p->state = GONE;
}

static void next_phone(void) {
  if (started < count) begin(&phones[started++]);
}

static void is_open(struct phone *p) {
  p->state = OPEN;
  if (++opened == count) {
    connected_us = now_us() - connect_begun_us;
    printf("{\"connected\": %d, \"seconds\": %.6f}\n", opened, connected_us / 1e6);
    fflush(stdout);
  }
  if (p->stalled) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, p->fd, NULL);
  next_phone();
}

static void got(struct phone *p, int opcode, const char *text, size_t n) {
  if (opcode == 9) {
    say(p, 10, text, n < 125 ? n : 0);
    return;
  }
  if (opcode == 8) {
    p->state = GONE;
    return;
  }
  if (socketio) {
    if (n == 1 && text[0] == '2') {
      say(p, 1, "3", 1);
      return;
    }
    if (n && text[0] == '0') {
      say(p, 1, "40", 2);
      return;
    }
    if (n >= 2 && text[0] == '4' && text[1] == '0') {
      is_open(p);
      return;
    }
  }
  frames++;
  p->frames++;
  bytes += n;
  const char *t = memmem(text, n, "t=", 2);
  if (t && t + 2 + STAMP <= text + n) {
    uint64_t made = 0;
    for (int i = 0; i < STAMP; i++) {
      if (t[2 + i] < '0' || t[2 + i] > '9') return;
      made = made * 10 + (t[2 + i] - '0');
    }
    uint64_t us = now_us() - made;
    stamped++;
    late[bucket(us) < BUCKETS ? bucket(us) : BUCKETS - 1]++;
  }
}

static void close_phone(struct phone *p) {
  if (p->state != GONE || p->fd >= 0) {
    close(p->fd);
    p->fd = -1;
    p->state = GONE;
    lost++;
  }
}

static void readable(struct phone *p) {
  if (p->rest_len) memcpy(buffer, p->rest, p->rest_len);
  ssize_t n = read(p->fd, buffer + p->rest_len, READ_BYTES);
  if (n == 0 || (n < 0 && errno != EAGAIN)) {
    close_phone(p);
    return;
  }
  if (n < 0) return;
  char *at = buffer, *end = buffer + p->rest_len + n;
  p->rest_len = 0;
  if (p->state == SHAKING) {
    char *body = memmem(at, end - at, "\r\n\r\n", 4);
    if (!body) goto keep;
    if (memcmp(at, "HTTP/1.1 101", 12)) {
      fprintf(stderr, "refused: %.60s\n", at);
      exit(1);
    }
    at = body + 4;
    if (socketio) p->state = OPEN;
    else is_open(p);
    if (p->stalled) return;
  }
  while (end - at >= 2) {
    unsigned char *h = (unsigned char *)at;
    size_t size = h[1] & 127, header = 2;
    if (size == 126) {
      if (end - at < 4) break;
      size = (size_t)h[2] << 8 | h[3];
      header = 4;
    } else if (size == 127) {
      if (end - at < 10) break;
      size = 0;
      for (int i = 2; i < 10; i++) size = size << 8 | h[i];
      header = 10;
    }
    if ((size_t)(end - at) < header + size) break;
    got(p, h[0] & 15, at + header, size);
    at += header + size;
  }
keep:
  if (at < end) {
    p->rest_len = end - at;
    p->rest = realloc(p->rest, p->rest_len);
    memcpy(p->rest, at, p->rest_len);
  }
}

static void report(void) {
  uint64_t least = UINT64_MAX, most = 0;
  for (int i = 0; i < count; i++) {
    if (phones[i].stalled) continue;
    if (phones[i].frames < least) least = phones[i].frames;
    if (phones[i].frames > most) most = phones[i].frames;
  }
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  printf("{\"seconds\": %.6f, \"frames\": %llu, \"bytes\": %llu, \"stamped\": %llu, \"least\": %llu, "
         "\"most\": %llu, \"lost\": %d, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f}\n",
         (now_us() - begun_us) / 1e6, (unsigned long long)frames, (unsigned long long)bytes,
         (unsigned long long)stamped, (unsigned long long)least, (unsigned long long)most, lost,
         percentile(0.50) / 1e3, percentile(0.99) / 1e3, percentile(0.99999) / 1e3);
  fflush(stdout);
}

static void begin_count(void) {
  frames = bytes = stamped = 0;
  memset(late, 0, sizeof late);
  for (int i = 0; i < count; i++) phones[i].frames = 0;
  begun_us = now_us();
}

static void command(void) {
  static char line[64];
  static size_t used;
  ssize_t n = read(0, line + used, sizeof line - used - 1);
  if (n <= 0) exit(0);
  used += n;
  line[used] = 0;
  char *end;
  while ((end = strchr(line, '\n'))) {
    *end = 0;
    if (!strcmp(line, "count")) begin_count();
    if (!strcmp(line, "report")) report();
    used -= end + 1 - line;
    memmove(line, end + 1, used + 1);
  }
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  port = atoi(argv[1]);
  socketio = !strcmp(argv[2], "socketio");
  int stalled = atoi(argv[4]);
  FILE *file = fopen(argv[3], "r");
  if (!file) die(argv[3]);
  char line[512];
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    phones = realloc(phones, (count + 1) * sizeof *phones);
    phones[count] = (struct phone){.fd = -1, .path = strdup(line)};
    count++;
  }
  for (int i = count - stalled; i < count; i++) phones[i].stalled = 1;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  epoll_fd = epoll_create1(0);
  struct epoll_event in = {.events = EPOLLIN, .data.ptr = NULL};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &in);
  begin_count();
  connect_begun_us = now_us();
  for (int i = 0; i < IN_FLIGHT; i++) next_phone();
  for (;;) {
    struct epoll_event events[512];
    int n = epoll_wait(epoll_fd, events, 512, -1);
    for (int i = 0; i < n; i++) {
      struct phone *p = events[i].data.ptr;
      if (!p) command();
      else if (p->state == CONNECTING) shake(p);
      else if (p->fd >= 0) readable(p);
    }
  }
}
