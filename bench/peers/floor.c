/* The floor: what a message to a phone costs at least, with one send() a message and phone.
 *
 *     floor PORT RATE
 *
 * Accepts WebSockets and sends RATE messages a second to each; no TikTok, no JSON, no memory, and a
 * phone that does not read loses messages.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 20000 };

static int open_fds[MOST], opened;

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void tell_everybody(void) {
  static uint64_t id = 1000000;
  char frame[512];
  int n = snprintf(frame + 4, sizeof frame - 4,
                   "{\"id\":%llu,\"ts\":%llu,\"type\":\"chat\",\"user\":\"viewer 123\",\"username\":\"viewer.123\","
                   "\"user_id\":\"7000000000000000123\",\"avatar\":\"https://p16-sign.tiktokcdn.com/avatar.webp\","
                   "\"message\":\"t=%016llu a message of a usual length\"}",
                   (unsigned long long)id, (unsigned long long)(time(NULL) * 1000ull),
                   (unsigned long long)now_us());
  id++;
  frame[0] = (char)0x81;
  frame[1] = 126;
  frame[2] = (char)(n >> 8);
  frame[3] = (char)n;
  for (int i = 0; i < opened; i++) {
    if (send(open_fds[i], frame, n + 4, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
      close(open_fds[i]);
      open_fds[i--] = open_fds[--opened];
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  double rate = atof(argv[2]);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  inet_pton(AF_INET, "127.0.0.1", &at.sin_addr);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 4096) < 0) {
    perror("listen");
    return 1;
  }
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  struct itimerspec every = {.it_interval.tv_nsec = (long)(1e9 / rate), .it_value.tv_nsec = 1000000};
  if (rate <= 1) every.it_interval = (struct timespec){.tv_sec = 1};
  timerfd_settime(timer, 0, &every, NULL);
  int epoll_fd = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
  e.data.fd = timer;
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &e);
  for (;;) {
    struct epoll_event events[256];
    int n = epoll_wait(epoll_fd, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == timer) {
        uint64_t ticks;
        if (read(timer, &ticks, sizeof ticks) == sizeof ticks)
          while (ticks--) tell_everybody();
      } else if (fd == listener) {
        int phone;
        while ((phone = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
          setsockopt(phone, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
          e.data.fd = phone;
          epoll_ctl(epoll_fd, EPOLL_CTL_ADD, phone, &e);
        }
      } else {
        /* The request of a handshake; what phones say later is not read. */
        static char request[4096];
        if (read(fd, request, sizeof request) > 0 && opened < MOST) {
          static const char answer[] =
              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
          if (write(fd, answer, sizeof answer - 1) > 0) open_fds[opened++] = fd;
        }
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
      }
    }
  }
}
