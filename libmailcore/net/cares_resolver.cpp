#include <ares.h>
#include <netdb.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "base/freed.h"
#include "base/strings.h"
#include "net/dns_message.h"
#include "net/resolver.h"

namespace mail::net {
namespace {

constexpr int kUdpOctets = 1232;  // no fragments on any path (DNS flag day 2020)

void initialise_library() {
  static std::once_flag once;
  std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
}

}  // namespace

struct CaresResolver::Impl {
  Impl(Loop& l, const config::Dns& s)
      : loop(l), settings(s), timer(l, [this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }) {}
  ~Impl() {
    if (channel != nullptr) ares_destroy(channel);
  }

  struct Watches {
    std::unique_ptr<Watch> reading, writing;
  };
  /// What c-ares calls back with; the Query holds the other share, and c-ares one as a plain pointer.
  struct Question {
    Loop& loop;
    DnsType type;
    std::string name;
    DnsLimits limits;
    bool trusted;  // the AD bit counts
    DnsCallback callback;
    std::shared_ptr<Question> held_by_cares;
  };

  Status open();
  Status set_servers();
  bool servers_are_local() const;
  void process(ares_socket_t readable, ares_socket_t writable) {
    ares_process_fd(channel, readable, writable);
    arm();
  }
  void arm() {
    timeval wait{};
    if (const auto* next = ares_timeout(channel, nullptr, &wait); next != nullptr)
      timer.start(std::chrono::seconds(next->tv_sec) + std::chrono::microseconds(next->tv_usec));
    else
      timer.cancel();
  }
  static void on_socket(void* self, ares_socket_t fd, int readable, int writable);
  static void on_answer(void* question, int status, int timeouts, unsigned char* octets, int count);

  Loop& loop;
  config::Dns settings;
  bool trusted = false;
  ares_channel channel = nullptr;
  std::map<ares_socket_t, Watches> watches;
  Timer timer;
};

Status CaresResolver::Impl::open() {
  ares_options options{};
  options.flags = ARES_FLAG_EDNS;
  options.ednspsz = kUdpOctets;
  options.timeout = static_cast<int>(settings.timeout.count());
  options.tries = static_cast<int>(std::max(1U, settings.tries));
  options.sock_state_cb = on_socket;
  options.sock_state_cb_data = this;
  const int mask = ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
  if (const int status = ares_init_options(&channel, &options, mask); status != ARES_SUCCESS)
    return fail(Error::Kind::temporary, concat({"DNS: ", ares_strerror(status)}));
  if (!settings.servers.empty()) MAIL_CHECK(set_servers());
  trusted = settings.trust_ad || servers_are_local();
  return {};
}

/// Nobody on the way can put a bit into their answers.
bool CaresResolver::Impl::servers_are_local() const {
  ares_addr_port_node* servers = nullptr;
  if (ares_get_servers_ports(channel, &servers) != ARES_SUCCESS) return false;
  const std::unique_ptr<ares_addr_port_node, Freed<ares_free_data>> owner(servers);
  const auto local = [](const ares_addr_port_node& server) {
    constexpr unsigned char kLoopback6[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    if (server.family == AF_INET) return reinterpret_cast<const unsigned char*>(&server.addr.addr4)[0] == 127;
    return std::memcmp(&server.addr.addr6, kLoopback6, sizeof kLoopback6) == 0;
  };
  for (const auto* server = servers; server != nullptr; server = server->next)
    if (!local(*server)) return false;
  return servers != nullptr;
}

Status CaresResolver::Impl::set_servers() {
  std::string list;
  for (auto server : settings.servers) {
    if (server.port == 0) server.port = 53;
    if (!IpAddress::parse(server.host))
      return fail(Error::Kind::permanent,
                  concat({"dns.servers: an address is needed, not \"", printable(server.to_string()), "\""}));
    list += concat({list.empty() ? "" : ",", server.to_string()});
  }
  if (const int status = ares_set_servers_ports_csv(channel, list.c_str()); status != ARES_SUCCESS)
    return fail(Error::Kind::permanent, concat({"dns.servers ", list, ": ", ares_strerror(status)}));
  return {};
}

void CaresResolver::Impl::on_socket(void* self, ares_socket_t fd, int readable, int writable) {
  auto& impl = *static_cast<Impl*>(self);
  if (readable == 0 && writable == 0) {
    impl.watches.erase(fd);
    return;
  }
  auto& watch = impl.watches[fd];
  if (readable == 0)
    watch.reading.reset();
  else if (!watch.reading)
    watch.reading =
        std::make_unique<Watch>(impl.loop, fd, Watch::For::reading, [&impl, fd] { impl.process(fd, ARES_SOCKET_BAD); });
  if (writable == 0)
    watch.writing.reset();
  else if (!watch.writing)
    watch.writing =
        std::make_unique<Watch>(impl.loop, fd, Watch::For::writing, [&impl, fd] { impl.process(ARES_SOCKET_BAD, fd); });
}

void CaresResolver::Impl::on_answer(void* argument, int status, int, unsigned char* octets, int count) {
  const auto question = std::move(static_cast<Question*>(argument)->held_by_cares);
  if (!question->callback || status == ARES_EDESTRUCTION || status == ARES_ECANCELLED) return;
  DnsResult result = tl::unexpected(Error{});
  if (status == ARES_SUCCESS && octets != nullptr) {
    result = parse_dns_answer({reinterpret_cast<char*>(octets), static_cast<std::size_t>(count)}, question->type,
                              question->name, question->limits);
    if (result && !question->trusted) result->authentic = false;
  } else {
    result = fail(Error::Kind::temporary,
                  concat({to_string(question->type), " ", question->name, ": ", ares_strerror(status)}));
  }
  // Not from here: the callback may destroy the resolver, which c-ares does not survive inside its own callback.
  question->loop.defer([question, answer = std::move(result)]() mutable {
    if (question->callback) std::exchange(question->callback, nullptr)(std::move(answer));
  });
}

namespace {

class CaresQuery final : public Resolver::Query {
 public:
  explicit CaresQuery(UniqueFunction<void()> cancel) : cancel_(std::move(cancel)) {}
  ~CaresQuery() override { cancel_(); }

 private:
  UniqueFunction<void()> cancel_;
};

}  // namespace

CaresResolver::CaresResolver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CaresResolver::~CaresResolver() = default;

Result<std::unique_ptr<CaresResolver>> CaresResolver::open(Loop& loop, const config::Dns& settings) {
  initialise_library();
  auto impl = std::make_unique<Impl>(loop, settings);
  MAIL_CHECK(impl->open());
  return std::unique_ptr<CaresResolver>(new CaresResolver(std::move(impl)));
}

std::unique_ptr<Resolver::Query> CaresResolver::ask(DnsType type, std::string_view name, DnsCallback callback) {
  auto question = std::make_shared<Impl::Question>(Impl::Question{impl_->loop,
                                                                  type,
                                                                  {},
                                                                  {impl_->settings.records, impl_->settings.cnames},
                                                                  impl_->trusted,
                                                                  std::move(callback),
                                                                  nullptr});
  auto query = std::make_unique<CaresQuery>([question] { question->callback = nullptr; });
  const auto refuse = [&](std::string_view why) {
    Error error{Error::Kind::permanent, concat({to_string(type), " ", printable(name), ": ", why}), 0};
    impl_->loop.defer([question, error = std::move(error)]() mutable {
      if (question->callback) std::exchange(question->callback, nullptr)(tl::unexpected(std::move(error)));
    });
    return std::move(query);
  };
  const auto normal = normal_name(name);
  if (!normal) return refuse("not a domain name");
  question->name = *normal;
  unsigned short id = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&id), sizeof id);  // an answer must not be guessed
  unsigned char* made = nullptr;
  int octets = 0;
  if (ares_create_query(normal->c_str(), 1, static_cast<int>(type), id, 1, &made, &octets, kUdpOctets) != ARES_SUCCESS)
    return refuse("not a domain name");
  const std::unique_ptr<unsigned char, Freed<ares_free_string>> owner(made);
  made[3] =
      static_cast<unsigned char>(made[3] | 0x20U);  // AD: we understand the bit in the answer (RFC 6840 section 5.7)
  question->held_by_cares = question;
  ares_send(impl_->channel, made, octets, Impl::on_answer, question.get());
  impl_->arm();
  return query;
}

}  // namespace mail::net
