// physlimit: what this machine can do at most, so that a server's figure can be
// read as a share of it.  One JSON line per test on standard output.
//
//   physlimit --dir D [--tests a,b,..] [--secs 3] [--files 100000]
//
// Tests: fsync   create+write 4 KB+fsync+rename+fsync(dir), 1/2/8/32 threads
//        fsync1  the same without the directory fsync
//        syncfs  T threads create+write+rename files, a batch ends in one syncfs
//        log     one preallocated log, each 4 KB record pwritten + fdatasync
//        glog    one preallocated log, T writers, one fdatasync per gathered group
//        batchdir N files written, N fsyncs, one fsync(dir) per group of B
//        tcp     loopback stream throughput, ping-pong rate, connect rate
//        mem     memcpy, memmem and a byte scan of 64 MiB
//        dir     readdir / stat / open+read+close over a directory of --files files
//        proc    fork+exit, and vfork+exec of /bin/true, thread create+join
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

extern char** environ;
using namespace std::chrono;
static double now() { return duration<double>(steady_clock::now().time_since_epoch()).count(); }
static double secs = 3;
static std::string dir = ".";
static int nfiles = 100000;
[[noreturn]] static void die(const char* what) {
  perror(what);
  exit(1);
}

struct Lat {
  std::vector<float> v;
  double pct(double p) {
    if (v.empty()) return 0;
    size_t k = std::min(v.size() - 1, size_t(p * double(v.size())));
    std::nth_element(v.begin(), v.begin() + k, v.end());
    return v[k] * 1e3;
  }
};

static void wipe(const std::string& d) {
  if (DIR* h = opendir(d.c_str())) {
    while (dirent* e = readdir(h))
      if (e->d_name[0] != '.') unlinkat(dirfd(h), e->d_name, 0);
    closedir(h);
  }
  rmdir(d.c_str());
}

static void t_fsync(bool dirsync, size_t size, int nt) {
  std::string a = dir + "/pl.tmp", b = dir + "/pl.new";
  mkdir(a.c_str(), 0755);
  mkdir(b.c_str(), 0755);
  std::vector<std::thread> th;
  std::vector<Lat> lat(nt);
  std::atomic<long> n{0};
  double t0 = now(), end = t0 + secs;
  for (int i = 0; i < nt; i++)
    th.emplace_back([&, i] {
      int da = open(a.c_str(), O_RDONLY | O_DIRECTORY), db = open(b.c_str(), O_RDONLY | O_DIRECTORY);
      std::string buf(size, 'x');
      char name[64];
      for (long k = 0; now() < end; k++) {
        double s = now();
        snprintf(name, sizeof name, "%d.%ld", i, k);
        int f = openat(da, name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (f < 0 || write(f, buf.data(), size) != ssize_t(size) || fsync(f)) die("file");
        close(f);
        if (renameat(da, name, db, name)) die("rename");
        if (dirsync && fsync(db)) die("fsync dir");
        lat[i].v.push_back(float(now() - s));
        n++;
      }
      close(da);
      close(db);
    });
  for (auto& t : th) t.join();
  double el = now() - t0;
  Lat all;
  for (auto& l : lat) all.v.insert(all.v.end(), l.v.begin(), l.v.end());
  printf("{\"test\":\"%s\",\"size\":%zu,\"threads\":%d,\"per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
         dirsync ? "create+write+fsync+rename+fsyncdir" : "create+write+fsync+rename", size, nt, double(n) / el,
         all.pct(.5), all.pct(.99));
  fflush(stdout);
  wipe(a);
  wipe(b);
}

// Group commit with plain files: B files written and renamed, then ONE syncfs.
static void t_syncfs(size_t size, int batch) {
  std::string a = dir + "/pl.tmp", b = dir + "/pl.new";
  mkdir(a.c_str(), 0755);
  mkdir(b.c_str(), 0755);
  int da = open(a.c_str(), O_RDONLY | O_DIRECTORY), db = open(b.c_str(), O_RDONLY | O_DIRECTORY);
  std::string buf(size, 'x');
  char name[64];
  long n = 0;
  Lat lat;
  double t0 = now(), end = t0 + secs;
  while (now() < end) {
    double s = now();
    for (int i = 0; i < batch; i++, n++) {
      snprintf(name, sizeof name, "%ld", n);
      int f = openat(da, name, O_CREAT | O_EXCL | O_WRONLY, 0600);
      if (f < 0 || write(f, buf.data(), size) != ssize_t(size)) die("file");
      close(f);
      if (renameat(da, name, db, name)) die("rename");
    }
    if (syncfs(db)) die("syncfs");
    lat.v.push_back(float(now() - s));
  }
  double el = now() - t0;
  printf(
      "{\"test\":\"batch of files + one "
      "syncfs\",\"size\":%zu,\"batch\":%d,\"per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
      size, batch, double(n) / el, lat.pct(.5), lat.pct(.99));
  fflush(stdout);
  close(da);
  close(db);
  wipe(a);
  wipe(b);
}

// B files written, sync started on all at once (sync_file_range), then fsynced in turn, one dir fsync.
static void t_batchdir(size_t size, int batch) {
  std::string a = dir + "/pl.tmp", b = dir + "/pl.new";
  mkdir(a.c_str(), 0755);
  mkdir(b.c_str(), 0755);
  int da = open(a.c_str(), O_RDONLY | O_DIRECTORY), db = open(b.c_str(), O_RDONLY | O_DIRECTORY);
  std::string buf(size, 'x');
  char name[64];
  long n = 0;
  Lat lat;
  std::vector<int> fds(batch);
  double t0 = now(), end = t0 + secs;
  while (now() < end) {
    double s = now();
    long base = n;
    for (int i = 0; i < batch; i++, n++) {
      snprintf(name, sizeof name, "%ld", n);
      fds[i] = openat(da, name, O_CREAT | O_EXCL | O_WRONLY, 0600);
      if (fds[i] < 0 || write(fds[i], buf.data(), size) != ssize_t(size)) die("file");
      sync_file_range(fds[i], 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    for (int i = 0; i < batch; i++) {
      if (fsync(fds[i])) die("fsync");
      close(fds[i]);
    }
    for (int i = 0; i < batch; i++) {
      snprintf(name, sizeof name, "%ld", base + i);
      if (renameat(da, name, db, name)) die("rename");
    }
    if (fsync(db)) die("fsync dir");
    lat.v.push_back(float(now() - s));
  }
  double el = now() - t0;
  printf(
      "{\"test\":\"batch: write all, fsync each, rename all, one "
      "fsync(dir)\",\"size\":%zu,\"batch\":%d,\"per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
      size, batch, double(n) / el, lat.pct(.5), lat.pct(.99));
  fflush(stdout);
  close(da);
  close(db);
  wipe(a);
  wipe(b);
}

static void t_log(size_t size, int nt) {
  std::string p = dir + "/pl.log";
  int f = open(p.c_str(), O_CREAT | O_TRUNC | O_RDWR, 0600);
  off_t cap = 256 << 20;
  {
    std::string z(1 << 20, 0);
    for (off_t o = 0; o < cap; o += z.size())
      if (pwrite(f, z.data(), z.size(), o) < 0) die("prealloc");
    fsync(f);
  }
  std::mutex m;
  std::condition_variable cv;
  off_t head = 0, durable = 0;
  bool syncing = false;
  long n = 0, syncs = 0;
  Lat lat;
  double t0 = now(), end = t0 + secs;
  std::vector<std::thread> th;
  std::string buf(size, 'y');
  for (int i = 0; i < nt; i++)
    th.emplace_back([&] {
      while (now() < end) {
        double s = now();
        off_t mine;
        {
          std::lock_guard g(m);
          mine = head;
          head += size;
        }
        if (pwrite(f, buf.data(), size, mine % cap) < 0) die("pwrite");
        std::unique_lock g(m);
        while (durable < mine + off_t(size)) {
          if (!syncing) {
            syncing = true;
            off_t upto = head;
            g.unlock();
            if (fdatasync(f)) die("fdatasync");
            g.lock();
            durable = std::max(durable, upto);
            syncing = false;
            syncs++;
            cv.notify_all();
          } else
            cv.wait(g);
        }
        n++;
        lat.v.push_back(float(now() - s));
      }
    });
  for (auto& t : th) t.join();
  double el = now() - t0;
  printf(
      "{\"test\":\"group-commit log, "
      "pwrite+fdatasync\",\"size\":%zu,\"threads\":%d,\"per_s\":%.0f,\"syncs_per_s\":%.0f,\"p50_ms\":%.3f,\"p99_ms\":%."
      "3f}\n",
      size, nt, double(n) / el, double(syncs) / el, lat.pct(.5), lat.pct(.99));
  fflush(stdout);
  close(f);
  unlink(p.c_str());
}

static void t_tcp() {
  int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t al = sizeof a;
  if (bind(l, (sockaddr*)&a, al) || listen(l, 512) || getsockname(l, (sockaddr*)&a, &al)) die("listen");
  auto conn = [&] {
    int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c, (sockaddr*)&a, al)) die("connect");
    int o = 1;
    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &o, sizeof o);
    return c;
  };
  {
    int c = conn(), s = accept(l, 0, 0);
    std::atomic<bool> stop{false};
    long got = 0;
    std::thread rx([&] {
      std::string b(256 << 10, 0);
      ssize_t r;
      while ((r = read(s, b.data(), b.size())) > 0) got += r;
    });
    std::string b(64 << 10, 'z');
    double t0 = now();
    while (now() < t0 + secs)
      if (write(c, b.data(), b.size()) < 0) die("write");
    shutdown(c, SHUT_WR);
    rx.join();
    double el = now() - t0;
    close(c);
    close(s);
    printf("{\"test\":\"loopback stream\",\"MB_per_s\":%.0f}\n", double(got) / el / 1e6);
  }
  {
    int c = conn(), s = accept(l, 0, 0);
    int o = 1;
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &o, sizeof o);
    std::thread rx([&] {
      char b[64];
      ssize_t r;
      while ((r = read(s, b, 64)) > 0)
        if (write(s, b, r) < 0) break;
    });
    long n = 0;
    char b[64];
    double t0 = now();
    while (now() < t0 + secs) {
      if (write(c, "x", 1) != 1 || read(c, b, 64) < 1) die("pp");
      n++;
    }
    double el = now() - t0;
    shutdown(c, SHUT_WR);
    rx.join();
    close(c);
    close(s);
    printf("{\"test\":\"loopback ping-pong\",\"per_s\":%.0f}\n", double(n) / el);
  }
  {
    std::atomic<bool> stop{false};
    std::thread rx([&] {
      while (!stop) {
        int s = accept(l, 0, 0);
        if (s >= 0) {
          char b[8];
          write(s, "x", 1) < 0 ? 0 : read(s, b, 8);
          close(s);
        }
      }
    });
    long n = 0;
    double t0 = now();
    char b[8];
    while (now() < t0 + std::min(secs, 2.0)) {
      int c = conn();
      if (read(c, b, 1) < 1) die("r");
      linger lg{1, 0};
      setsockopt(c, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
      close(c);
      n++;
    }
    double el = now() - t0;
    stop = true;
    int c = conn();
    close(c);
    rx.join();
    printf("{\"test\":\"loopback connect+1 byte+close\",\"per_s\":%.0f}\n", double(n) / el);
  }
  fflush(stdout);
  close(l);
}

static void t_mem() {
  size_t n = 64 << 20;
  std::string a(n, 'a'), b(n, 'b');
  auto rep = [&](const char* what, auto fn) {
    std::vector<double> v;
    for (int i = 0; i < 9; i++) {
      double t = now();
      fn(i);
      v.push_back(now() - t);
    }
    std::sort(v.begin(), v.end());
    printf("{\"test\":\"%s\",\"MB_per_s\":%.0f}\n", what, double(n) / v[4] / 1e6);
    fflush(stdout);
  };
  rep("memcpy 64 MiB", [&](int i) {
    a[i] = char(i);
    memcpy(&b[0], &a[0], n);
    asm volatile("" ::"r"(b.data()) : "memory");
  });
  rep("memchr 64 MiB", [&](int) {
    asm volatile("" : : "r"(a.data()) : "memory");
    const void* p = memchr(a.data(), '!', n);
    asm volatile("" : : "r"(p) : "memory");
  });
  rep("memmem 64 MiB, 6-byte needle, random text", [&](int i) {
    if (i == 0) {
      unsigned x = 1;
      for (auto& c : a) {
        x = x * 1664525 + 1013904223;
        c = char('a' + (x >> 24) % 26);
      }
    }
    asm volatile("" : : "r"(a.data()) : "memory");
    const void* p = memmem(a.data(), n, "qz!zqz", 6);
    asm volatile("" : : "r"(p) : "memory");
  });
}

static void t_dir() {
  std::string d = dir + "/pl.dir";
  mkdir(d.c_str(), 0755);
  int df = open(d.c_str(), O_RDONLY | O_DIRECTORY);
  std::string body(1500, 'm');
  char nm[128];
  double t0 = now();
  for (int i = 0; i < nfiles; i++) {
    snprintf(nm, sizeof nm, "1700000000.M%06dP%d.host:2,S", i, i % 977);
    int f = openat(df, nm, O_CREAT | O_WRONLY, 0600);
    if (f < 0 || write(f, body.data(), body.size()) < 0) die("create");
    close(f);
  }
  printf("{\"test\":\"create+write 1500 B, no sync\",\"files\":%d,\"per_s\":%.0f}\n", nfiles, nfiles / (now() - t0));
  std::vector<std::string> names;
  for (int r = 0; r < 3; r++) {
    names.clear();
    double t = now();
    DIR* h = opendir(d.c_str());
    while (dirent* e = readdir(h))
      if (e->d_name[0] != '.') names.push_back(e->d_name);
    closedir(h);
    if (r == 2) printf("{\"test\":\"readdir\",\"per_s\":%.0f,\"ms\":%.1f}\n", nfiles / (now() - t), (now() - t) * 1e3);
  }
  for (int r = 0; r < 2; r++) {
    double t = now();
    struct stat st;
    for (auto& s : names) fstatat(df, s.c_str(), &st, 0);
    if (r) printf("{\"test\":\"stat (warm)\",\"per_s\":%.0f,\"ms\":%.1f}\n", nfiles / (now() - t), (now() - t) * 1e3);
  }
  for (int r = 0; r < 2; r++) {
    double t = now();
    char b[4096];
    for (auto& s : names) {
      int f = openat(df, s.c_str(), O_RDONLY);
      if (read(f, b, sizeof b) < 0) die("read");
      close(f);
    }
    if (r)
      printf("{\"test\":\"open+read+close (warm)\",\"per_s\":%.0f,\"ms\":%.1f}\n", nfiles / (now() - t),
             (now() - t) * 1e3);
  }
  {
    double t = now();
    for (auto& s : names) {
      std::string z = s + "F";
      if (renameat(df, s.c_str(), df, z.c_str())) die("rename");
    }
    printf("{\"test\":\"rename within the directory\",\"per_s\":%.0f}\n", nfiles / (now() - t));
  }
  {
    double t = now();
    for (auto& s : names) unlinkat(df, (s + "F").c_str(), 0);
    printf("{\"test\":\"unlink\",\"per_s\":%.0f}\n", nfiles / (now() - t));
  }
  fflush(stdout);
  close(df);
  rmdir(d.c_str());
}

static void t_proc() {
  long n = 0;
  double t0 = now();
  while (now() < t0 + 1) {
    pid_t p = fork();
    if (!p) _exit(0);
    waitpid(p, 0, 0);
    n++;
  }
  printf("{\"test\":\"fork+exit+wait\",\"per_s\":%.0f}\n", double(n) / (now() - t0));
  n = 0;
  t0 = now();
  while (now() < t0 + 1) {
    pid_t p;
    char* av[] = {(char*)"/bin/true", 0};
    if (posix_spawn(&p, av[0], 0, 0, av, environ)) die("spawn");
    waitpid(p, 0, 0);
    n++;
  }
  printf("{\"test\":\"spawn+exec /bin/true+wait\",\"per_s\":%.0f}\n", double(n) / (now() - t0));
  n = 0;
  t0 = now();
  while (now() < t0 + 1) {
    std::thread([] {}).join();
    n++;
  }
  printf("{\"test\":\"thread create+join\",\"per_s\":%.0f}\n", double(n) / (now() - t0));
  fflush(stdout);
}

int main(int c, char** v) {
  std::string tests = "fsync,fsync1,syncfs,batchdir,log,tcp,mem,dir,proc,";
  for (int i = 1; i + 1 < c; i += 2) {
    std::string k = v[i];
    if (k == "--dir")
      dir = v[i + 1];
    else if (k == "--tests")
      tests = std::string(v[i + 1]) + ",";
    else if (k == "--secs")
      secs = std::min(60., atof(v[i + 1]));
    else if (k == "--files")
      nfiles = std::min(1000000, atoi(v[i + 1]));
    else {
      fprintf(stderr, "unknown %s\n", v[i]);
      return 2;
    }
  }
  auto has = [&](const char* t) { return tests.find(std::string(t) + ",") != std::string::npos; };
  if (has("fsync"))
    for (int t : {1, 2, 8, 32}) t_fsync(true, 4096, t);
  if (has("fsync1"))
    for (int t : {1, 2, 8, 32, 100}) t_fsync(false, 4096, t);
  if (has("fsync100k"))
    for (int t : {1, 8, 32}) t_fsync(true, 102400, t);
  if (has("syncfs"))
    for (int b : {1, 8, 32, 128}) t_syncfs(4096, b);
  if (has("batchdir"))
    for (int b : {8, 32, 128}) t_batchdir(4096, b);
  if (has("log")) {
    for (int t : {1, 8, 32, 100}) t_log(4096, t);
    for (int t : {32}) t_log(102400, t);
  }
  if (has("tcp")) t_tcp();
  if (has("mem")) t_mem();
  if (has("dir")) t_dir();
  if (has("proc")) t_proc();
}
