// A host that takes mail, for the relay's tests: one thread per connection; what it says to a command may be scripted.
#pragma once
#include <arpa/inet.h>
#include <sys/socket.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace mail::test {

class Sink {
 public:
  struct Message {
    std::string reverse_path;  ///< All behind MAIL.
    std::vector<std::string> forward_paths;
    std::string content;
  };
  /// Says something else than 250 to a line ("EHLO x", "RCPT TO:<a@b>", "." for the final dot, "" for the greeting);
  /// empty: the usual; "close": hang up.
  using Script = std::function<std::string(const std::string& line)>;

  explicit Sink(Script script = {}) : script_(std::move(script)) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    (void)::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length);
    (void)::listen(listener_.get(), 64);
    ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~Sink() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& thread : threads_) thread.join();
  }

  std::uint16_t port = 0;
  std::vector<Message> messages() const {
    const std::lock_guard lock(mutex_);
    return messages_;
  }
  std::size_t count() const {
    const std::lock_guard lock(mutex_);
    return messages_.size();
  }
  std::size_t connections() const {
    const std::lock_guard lock(mutex_);
    return threads_.size();
  }

 private:
  void accept_all() {
    for (;;) {
      UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!peer) return;
      const std::lock_guard lock(mutex_);
      open_.push_back(peer.get());
      threads_.emplace_back([this, fd = std::make_shared<UniqueFd>(std::move(peer))] { talk(fd->get()); });
    }
  }
  std::string ask(const std::string& line) {
    const std::lock_guard lock(script_mutex_);
    return script_ ? script_(line) : std::string();
  }
  static bool say(int fd, std::string reply, const std::string& usual) {
    if (reply == "close") return false;
    if (reply.empty()) reply = usual;
    reply += "\r\n";
    return ::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL) > 0;
  }
  void talk(int fd) {
    std::string input;
    char buffer[16384];
    bool in_data = false;
    Message message;
    if (!say(fd, ask(""), "220 sink.example ESMTP")) return (void)::shutdown(fd, SHUT_RDWR);
    for (;;) {
      const std::string end = in_data ? "\r\n.\r\n" : "\r\n";
      const auto at = input.find(end);
      if (at == std::string::npos) {
        const auto got = ::recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0) return;
        input.append(buffer, static_cast<std::size_t>(got));
        continue;
      }
      const auto line = input.substr(0, at);
      input.erase(0, at + end.size());
      bool go_on = true;
      if (in_data) {
        in_data = false;
        message.content = line + "\r\n";
        const auto reply = ask(".");
        if (reply.empty() || reply[0] == '2') {
          const std::lock_guard lock(mutex_);
          messages_.push_back(message);
        }
        go_on = say(fd, reply, "250 2.0.0 taken");
      } else if (line.starts_with("EHLO")) {
        go_on = say(fd, ask(line), "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE");
      } else if (line.starts_with("MAIL")) {
        message = {};
        message.reverse_path = line.substr(5);
        go_on = say(fd, ask(line), "250 2.1.0 ok");
      } else if (line.starts_with("RCPT")) {
        const auto reply = ask(line);
        if (reply.empty() || reply[0] == '2') message.forward_paths.push_back(line.substr(8));
        go_on = say(fd, reply, "250 2.1.5 ok");
      } else if (line.starts_with("DATA")) {
        in_data = !message.forward_paths.empty();
        go_on = say(fd, ask(line), in_data ? "354 go on" : "554 5.5.1 no valid recipients");
      } else {
        go_on = say(fd, ask(line), line.starts_with("QUIT") ? "221 2.0.0 bye" : "250 2.0.0 ok");
        if (line.starts_with("QUIT")) go_on = false;
      }
      if (!go_on) return (void)::shutdown(fd, SHUT_RDWR);
    }
  }

  Script script_;
  UniqueFd listener_;
  std::mutex script_mutex_;
  mutable std::mutex mutex_;
  std::vector<Message> messages_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace mail::test
