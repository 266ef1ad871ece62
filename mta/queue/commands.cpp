#include "mta/queue/commands.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>

#include "base/log.h"
#include "base/strings.h"
#include "config/values.h"
#include "mta/queue/actions.h"
#include "mta/queue/explain.h"
#include "mta/queue/trace.h"
#include "net/daemon.h"
#include "smtp/path.h"
#include "spool/nudge.h"

namespace mail::queue {

namespace {

/// What the options of all `mta queue` commands say, as text until it is understood.
struct Selection {
  Filter filter;
  std::string older, younger, state;
  bool all = false;

  /// @return what is not understood
  std::string understand() {
    const auto age = [](const std::string& text, std::optional<std::chrono::seconds>& to) {
      if (text.empty()) return true;
      const auto duration = config::parse_duration(text);
      if (duration) to = std::chrono::duration_cast<std::chrono::seconds>(*duration);
      return duration.has_value();
    };
    if (!age(older, filter.older) || !age(younger, filter.younger)) return "an age is written as 90s, 15m, 3h or 2d";
    if (!state.empty() && !(filter.state = parse_state(state)))
      return "a state is one of ready, deferred, held, local, damaged";
    for (const auto& id : filter.ids)
      if (!MessageId::parse(id)) return concat({id, " is not an id"});
    return {};
  }
};

/// A script's variable that is empty by mistake must not select everything.
CLI::Validator not_empty() {
  return {[](const std::string& text) { return std::string(text.empty() ? "is empty" : ""); }, ""};
}

void add_selection(CLI::App& command, Selection& selection) {
  const auto add = [&](const char* name, std::string& to, const char* text) {
    command.add_option(name, to, text)->check(not_empty());
  };
  command.add_option("id", selection.filter.ids, "Ids of messages");
  add("-f,--sender", selection.filter.sender,
      "Messages of this sender; * at an end stands for anything, <> is the null sender");
  add("-r,--recipient", selection.filter.recipient, "Messages with this recipient");
  add("-d,--domain", selection.filter.domain, "Messages with an open recipient in this domain");
  add("--older", selection.older, "Messages in the queue for longer than this: 15m, 3h, 2d");
  add("--younger", selection.younger, "Messages in the queue for less than this");
  add("--state", selection.state, "ready, deferred, held, local or damaged");
}

struct Context {
  std::function<std::optional<config::Settings>()> settings;
  Selection selection;
  bool json = false;
  std::string argument, log_file;
  From from;
};

int complain(const std::string& text, int code) {
  std::cerr << "mta: " << text << "\n";
  return code;
}

/// Opens the spool, finds the messages and lets `act` work on them, some hundreds at a time.
/// @param before  is called with the spool first
template <class Before, class Act>
int with_entries(Context& c, const std::vector<spool::Box>& boxes, bool must_select, Before before, Act act) {
  if (auto mistake = c.selection.understand(); !mistake.empty()) return complain(mistake, net::kExitUsage);
  if (must_select && c.selection.filter.empty() && !c.selection.all)
    return complain("say which messages: ids, --sender, --recipient, --domain, --older, --younger, --state, or --all",
                    net::kExitUsage);
  const auto settings = c.settings();
  if (!settings) return net::kExitConfig;
  // Before open_spool() takes the owner's rights: the log may be root's.
  if (auto opened = net::open_log("mta-queue", settings->log); !opened)
    std::cerr << "mta: " << opened.error().text << "\n";
  auto spool = open_spool(settings->spool.directory);
  if (!spool) return complain(spool.error().text, net::exit_code(spool.error()));
  before(*spool);
  Destinations routes(*settings);
  const auto done = each_entry(
      *spool, boxes, c.selection.filter, Clock::system().now(),
      [&](const std::vector<Entry>& entries) { act(*spool, entries); }, &routes);
  return done ? net::kExitOk : complain(done.error().text, net::kExitTemporary);
}

using spool::Box;

/// The entries as one JSON array, or each as `print` has it.
template <class Print>
int print_all(Context& c, const std::vector<spool::Box>& boxes, bool must_select, std::size_t& count,
              std::uint64_t& octets, Print print) {
  const auto now = Clock::system().now();
  const int code = with_entries(
      c, boxes, must_select, [](const spool::Spool&) {},
      [&](const spool::Spool& spool, const std::vector<Entry>& entries) {
        for (const auto& entry : entries) {
          if (c.json)
            std::cout << (count == 0 ? "[\n" : ",\n") << as_json(entry, now);
          else
            std::cout << print(spool, entry, now);
          ++count;
          octets += entry.octets;
        }
      });
  if (c.json && code == net::kExitOk) std::cout << (count == 0 ? "[]\n" : "\n]\n");
  return code;
}

int list(Context& c) {
  // Of what is mda's, only that which did not go through at once is of interest, unless it is asked for.
  const bool elsewhere = !c.selection.state.empty() || !c.selection.filter.ids.empty();
  c.selection.filter.local_deferred = !elsewhere;
  const auto boxes = elsewhere ? std::vector{Box::queue, Box::hold, Box::local, Box::corrupt}
                               : std::vector{Box::queue, Box::hold, Box::local};
  std::size_t count = 0;
  std::uint64_t octets = 0;
  const int code = print_all(c, boxes, false, count, octets,
                             [](const spool::Spool&, const Entry& entry, WallTime now) { return as_text(entry, now); });
  if (code != net::kExitOk || c.json) return code;
  if (count == 0)
    std::cout << (c.selection.filter.empty() ? "Mail queue is empty\n" : "No message of the queue is such a one\n");
  else
    std::cout << "-- " << count << " messages, " << octets << " octets\n";
  return code;
}

int show(Context& c) {
  std::size_t count = 0;
  std::uint64_t octets = 0;
  const int code = print_all(c, {Box::queue, Box::hold, Box::local, Box::corrupt}, true, count, octets, in_full);
  if (code != net::kExitOk || count > 0) return code;
  return complain("no such message in the spool; mta trace tells what became of it", net::kExitNoUser);
}

/// Tells of the ids that were asked for and not found in `boxes` where they are instead.
/// @return how many these are
std::size_t complain_of_missing(const Context& c, const spool::Spool& spool, const std::vector<spool::Box>& boxes) {
  std::size_t missing = 0;
  for (const auto& text : c.selection.filter.ids) {
    const auto id = MessageId::parse(text);
    if (!id || std::ranges::any_of(boxes, [&](spool::Box box) { return spool.exists(box, *id); })) continue;
    ++missing;
    std::string where = "no such message in the spool; mta trace tells what became of it";
    for (const auto box : {Box::queue, Box::hold, Box::local, Box::corrupt})
      if (spool.exists(box, *id)) where = concat({"nothing to do: it is in ", spool::name_of(box)});
    complain(concat({text, ": ", where}), net::kExitNoUser);
  }
  return missing;
}

/// @param act  returns how many it has changed, or what stopped it
template <class Act>
int change(Context& c, const std::vector<spool::Box>& boxes, std::string_view what, Act act) {
  std::size_t changed = 0, asked = 0;
  int worst = net::kExitOk;
  const auto before = [&](const spool::Spool& spool) {
    if (complain_of_missing(c, spool, boxes) > 0) worst = net::kExitNoUser;
  };
  const int code =
      with_entries(c, boxes, true, before, [&](const spool::Spool& spool, const std::vector<Entry>& entries) {
        asked += entries.size();
        const Result<std::size_t> count = act(spool, entries);
        if (count)
          changed += *count;
        else
          worst = complain(count.error().text, net::exit_code(count.error()));
      });
  if (code != net::kExitOk) return code;
  if (c.json)
    std::cout << "{\"selected\": " << asked << ", \"changed\": " << changed << "}\n";
  else
    std::cout << changed << " " << what << "\n";
  if (worst != net::kExitOk) return worst;
  return changed == asked ? net::kExitOk : net::kExitTemporary;
}

int move_some(Context& c) {
  const auto address = smtp::parse_mailbox(c.argument);
  if (!address) return complain(concat({c.argument, " is not an address: ", address.error().text}), net::kExitUsage);
  const auto settings = c.settings();
  if (!settings) return net::kExitConfig;
  if (const auto refusal = Destinations(*settings).refusal(c.argument))
    return complain(concat({c.argument, " is refused: ", *refusal}), net::kExitNoUser);
  return change(c, {Box::queue, Box::hold}, "moved", [&](const spool::Spool& spool, const std::vector<Entry>& entries) {
    return move(spool, entries, c.argument);
  });
}

int flush_some(Context& c) {
  const auto settings = c.settings();
  if (!settings) return net::kExitConfig;
  auto spool = open_spool(settings->spool.directory);
  if (!spool) return complain(spool.error().text, net::exit_code(spool.error()));
  if (auto done = flush(*spool, c.argument); !done) return complain(done.error().text, net::exit_code(done.error()));
  const bool runs = spool::relay_runs(*spool);
  if (c.json)
    std::cout << "{\"relay_runs\": " << (runs ? "true" : "false") << "}\n";
  else if (!runs)
    std::cout << "mta relay does not run; all is due when it starts\n";
  return net::kExitOk;
}

int trace_one(Context& c) {
  const auto settings = c.settings();
  if (!settings) return net::kExitConfig;
  auto file = c.log_file;
  if (file.empty() && settings->log.target.starts_with("file:")) file = settings->log.target.substr(5);
  if (file.empty())
    return complain(
        "the log goes to " + settings->log.target + ": give --log FILE (for the journal: journalctl -o cat > FILE)",
        net::kExitUsage);
  std::ifstream log(file);
  if (!log) return complain("cannot read " + file, net::kExitNoPermission);
  const auto found = trace(log, c.argument);
  for (const auto& line : found.lines) std::cout << line << "\n";
  if (auto spool = open_spool(settings->spool.directory)) {
    Destinations routes(*settings);
    auto ids = found.ids;
    if (MessageId::parse(c.argument)) ids.insert(c.argument);
    std::cout << where_now(*spool, ids, routes);
  }
  return found.lines.empty() ? complain("nothing in " + file + " of " + c.argument, net::kExitNoUser) : net::kExitOk;
}

int explain_one(Context& c) {
  const auto settings = c.settings();
  if (!settings) return net::kExitConfig;
  const auto explanation = explain(*settings, c.argument, c.from);
  std::cout << explanation.text;
  return explanation.code;
}

}  // namespace

void add_commands(CLI::App& app, std::function<std::optional<config::Settings>()> settings, int& code) {
  auto context = std::make_shared<Context>();
  context->settings = std::move(settings);
  const auto add = [&code, context](CLI::App& to, const char* name, const char* text, auto act) {
    auto* command = to.add_subcommand(name, text);
    command->fallthrough();
    command->callback([&code, context, act] { code = act(*context); });
    return command;
  };
  auto* queue_command = app.add_subcommand("queue", "Look at the mail that waits, and change it; see queue(8)");
  queue_command->require_subcommand(1)->fallthrough();
  const auto selecting = [&](const char* name, const char* text, auto act) {
    auto* command = add(*queue_command, name, text, act);
    command->add_flag("--json", context->json, "For programs");
    add_selection(*command, context->selection);
    return command;
  };
  selecting("list", "Messages that wait, oldest first", list);
  selecting("show", "Envelope, attempts and header of messages", show);
  const auto changing = [&](const char* name, const char* text, auto act) {
    auto* command = selecting(name, text, act);
    command->add_flag("--all", context->selection.all, "All messages");
    return command;
  };
  changing("hold", "Set messages aside until they are released",
           [](Context& c) { return change(c, {Box::queue}, "held", hold); });
  changing("release", "Put held messages back into the queue",
           [](Context& c) { return change(c, {Box::hold}, "released", release); });
  changing("retry", "Try messages now", [](Context& c) { return change(c, {Box::queue}, "to be tried now", retry); });
  changing("delete", "Delete messages; nobody is told", [](Context& c) {
    return change(c, {Box::queue, Box::hold}, "deleted", remove);
  });
  changing("move", "Send messages to another address instead", move_some)
      ->add_option("--to", context->argument, "The address")
      ->required();
  auto* flush_command = add(*queue_command, "flush", "Try everything now, or all for one destination", flush_some);
  flush_command->add_option("destination", context->argument, "Domain, @domain, or host:port of a route");
  flush_command->add_flag("--json", context->json, "For programs");
  auto* trace_command = add(app, "trace", "The whole life of a message: from the log and the spool", trace_one);
  trace_command->add_option("what", context->argument, "An id, or an address")->required()->check(not_empty());
  trace_command->add_option("--log", context->log_file, "The log, where [log] target is not a file");
  auto* explain_command = add(app, "explain", "Where mail for an address would go, and why", explain_one);
  explain_command->add_option("address", context->argument, "The address")->required();
  explain_command->add_option("--from", context->from.sender, "As mail of this sender")->type_name("ADDRESS");
  explain_command->add_option("--user", context->from.account, "As mail submitted by this account")->type_name("NAME");
}

}  // namespace mail::queue
