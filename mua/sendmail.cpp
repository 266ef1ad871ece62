// The sendmail command as scripts, cron and mail programs call it. Its options are older than getopt's habits, so they
// are read here.
#include <libgen.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "base/strings.h"
#include "mua/context.h"
#include "mua/sendmail_smtp.h"
#include "mua/text.h"
#include "mua/write_input.h"

namespace mail::mua {

namespace {

struct SendmailOptions {
  char mode = 'm';  ///< -bX; 'q' for -q.
  bool from_header = false;
  bool dot_is_text = false;
  bool verbose = false;
  std::string sender;
  bool sender_given = false;
  std::string full_name;
  Draft dsn;
  std::vector<std::string> recipients;
  std::vector<std::string> config_files;
  std::vector<std::string> queue_run;  ///< The words behind `mta queue` that -q stands for.
};

Status take_dsn(SendmailOptions& options, std::string_view value) {
  MAIL_TRY(notify, parse_notify(value));
  options.dsn.notify = notify;
  return {};
}

/// -oX, -oXvalue and -O name=value: those that mean something here.
void take_long_option(SendmailOptions& options, std::string_view option) {
  if (option == "i" || iequals(option, "IgnoreDots=true") || iequals(option, "IgnoreDots")) options.dot_is_text = true;
  if (option == "v") options.verbose = true;
}

/// -q runs the queue once, also where an interval stands behind it (-q30m: the daemon keeps its own times); -qIid,
/// -qRpart and -qSpart run those messages whose id is that, or whose recipient or sender has that part.
Status take_queue_run(SendmailOptions& options, std::string_view which) {
  options.queue_run = {"flush"};
  if (which.empty() || is_digit(static_cast<unsigned char>(which[0]))) return {};
  const auto what = std::string(which.substr(1));
  if (what.empty() || std::string_view("IRS").find(which[0]) == std::string_view::npos)
    return fail(Error::Kind::syntax, concat({"-q", which, ": only -q, -qIid, -qRrecipient and -qSsender are known"}));
  if (which[0] == 'I')
    options.queue_run = {"retry", "--", what};
  else
    options.queue_run = {"retry", which[0] == 'R' ? "--recipient" : "--sender", concat({"*", what, "*"})};
  return {};
}

/// One option; `value()` takes its argument, from the same word or the next.
template <class Value>
Status take_option(SendmailOptions& options, char letter, std::string_view attached, Value value) {
  switch (letter) {
    case 't':
      options.from_header = true;
      return {};
    case 'i':
      options.dot_is_text = true;
      return {};
    case 'v':
      options.verbose = true;
      return {};
    case 'f':
    case 'r':
      options.sender = value();
      options.sender_given = true;
      return {};
    case 'F':
      options.full_name = value();
      return {};
    case 'N':
      return take_dsn(options, value());
    case 'R': {
      const auto what = value();
      if (!iequals(what, "full") && !iequals(what, "hdrs")) return fail(Error::Kind::syntax, "-R is full or hdrs");
      options.dsn.return_content =
          iequals(what, "full") ? spool::ReturnContent::full : spool::ReturnContent::header_fields;
      return {};
    }
    case 'V':
      options.dsn.envelope_id = value();
      return {};
    case 'C':
      options.config_files.push_back(value());
      return {};
    case 'o':
    case 'O':
      take_long_option(options, value());
      return {};
    case 'b':
      options.mode = attached.empty() ? 'm' : attached.front();
      return {};
    case 'q':
      options.mode = 'q';
      return take_queue_run(options, attached);
    // Taken and without meaning here: body type (seen from the message), hops, verbosity, privileges, submission tags.
    case 'B':
    case 'h':
    case 'L':
    case 'X':
    case 'p':
    case 'd':
      if (letter != 'd') (void)value();
      return {};
    case 'A':
    case 'e':
    case 'G':
    case 'm':
    case 'n':
    case 'U':
    case 's':
      if (letter == 'e' && attached.empty()) (void)value();
      return {};
    default:
      return fail(Error::Kind::syntax, concat({"unknown option -", std::string(1, letter)}));
  }
}

Result<SendmailOptions> parse_options(int argc, char** argv, std::string_view name) {
  SendmailOptions options;
  if (name == "mailq") options.mode = 'p';
  if (name == "newaliases") options.mode = 'i';
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") {
      for (++i; i < argc; ++i) options.recipients.emplace_back(argv[i]);
      break;
    }
    if (word.size() < 2 || word.front() != '-') {
      options.recipients.emplace_back(word);
      continue;
    }
    bool missing = false;
    const auto attached = word.substr(2);
    const auto value = [&]() -> std::string {
      if (!attached.empty()) return std::string(attached);
      if (i + 1 < argc) return argv[++i];
      missing = true;
      return {};
    };
    // "-ti", "-it" and "-oi" in one word are common in scripts; "-odb" and such are options of -o.
    if ((word[1] == 't' || word[1] == 'i' || word[1] == 'v') && !attached.empty()) {
      for (const char letter : word.substr(1)) MAIL_CHECK(take_option(options, letter, {}, value));
      continue;
    }
    MAIL_CHECK(take_option(options, word[1], attached, value));
    if (missing) return fail(Error::Kind::syntax, concat({"option ", word, " needs a value"}));
  }
  return options;
}

/// Without -i a line of one dot ends the message, as on a terminal.
std::string_view up_to_dot(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const auto line = text.substr(at, end - at);
    if (line == "." || line == ".\r") return text.substr(0, at);
    at = end + 1;
  }
  return text;
}

int deliver(const Context& context, const SendmailOptions& options) {
  const auto sending = context.sending();
  if (!sending) return complain(sending.error().text, EX_CONFIG);
  const auto& domain = sending->domain;
  const bool null_sender = options.sender_given && (options.sender.empty() || options.sender == "<>");
  auto from = context.from(sending->account, null_sender ? std::string() : options.sender);
  if (!from) return complain(from.error().text, EX_USAGE);
  if (!options.full_name.empty()) from->front().display_name = options.full_name;

  std::vector<message::Address> recipients;
  for (const auto& text : options.recipients) {
    const auto parsed = parse_typed_addresses(text, domain);
    if (!parsed) return complain(parsed.error().text, EX_NOUSER);
    recipients.insert(recipients.end(), parsed->begin(), parsed->end());
  }
  if (recipients.empty() && !options.from_header)
    return complain("there is no recipient: name some, or give -t", EX_USAGE);
  const auto input = read_all(STDIN_FILENO, kMostInput);
  if (!input) return complain(input.error());
  auto raw = complete_raw(options.dot_is_text ? std::string_view(*input) : up_to_dot(*input), *from, domain);
  if (options.from_header) {
    for (auto& address : raw.recipients) {
      if (address.domain.empty()) address.domain = domain;
      recipients.push_back(address);
    }
    if (recipients.empty()) return complain("the header names no recipient", EX_DATAERR);
  }
  const auto reverse_path = null_sender ? std::string() : message::addr_spec(from->front());
  auto envelope = make_envelope(reverse_path, recipients, options.dsn, Clock::system());
  if (!envelope) return complain(envelope.error().text, EX_NOUSER);
  Outgoing outgoing{std::move(*envelope), std::move(raw.content)};
  if (!is_ascii(outgoing.content)) outgoing.envelope.body = spool::BodyType::eight_bit_mime;
  const auto sent = send(outgoing, sending->way, context.outbox_path());
  if (!sent) return complain(sent.error());
  if (sent->how == Sent::How::kept)
    complain(concat({"not sent now, kept in ", context.outbox_path(), ": ", sent->detail}), 0);
  if (options.verbose) print(concat({outgoing.envelope.id.text(), " ", printable(sent->detail), "\n"}));
  return 0;
}

int verify(const Context& context, const std::vector<std::string>& recipients) {
  const auto settings = context.host_settings();
  if (!settings) return complain(settings.error().text, EX_CONFIG);
  int code = 0;
  for (const auto& text : recipients) {
    const auto parsed = parse_typed_addresses(text, local_domain(*settings));
    if (!parsed) code = EX_NOUSER;
    if (!parsed)
      print(printable(text) + "... not an address\n");
    else
      for (const auto& address : *parsed)
        print(printable(message::addr_spec(address)) + "... has the form of an address\n");
  }
  return code;
}

/// Goes on as `mta queue WORDS`; comes back where no mta is installed beside this program.
void become_mta_queue(const Context& context, const std::vector<std::string>& queue_words) {
  std::error_code error;
  const auto mta = std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "mta";
  for (const auto& candidate : {mta, mta.parent_path().parent_path() / "sbin/mta"}) {
    if (::access(candidate.c_str(), X_OK) != 0 || std::filesystem::is_directory(candidate, error)) continue;
    std::vector<std::string> words{candidate.string(), "queue"};
    for (const auto& file : context.config_files) words.insert(words.end(), {"-c", file});
    words.insert(words.end(), queue_words.begin(), queue_words.end());
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    std::fflush(nullptr);
    ::execv(candidate.c_str(), arguments.data());
  }
}

/// What waits here, then what waits in the host's queue where this user may see it.
int show_queue(const Context& context) {
  const auto entries = list_outbox(context.outbox_path());
  if (!entries) return complain(entries.error());
  for (const auto& entry : *entries) {
    std::string to;
    for (const auto& recipient : entry.message.envelope.recipients) to += " " + printable(recipient.forward_path);
    print(concat({entry.name, " outbox ", decimal(entry.message.content.size()), " from <",
                  printable(entry.message.envelope.reverse_path), "> to", to, "\n"}));
  }
  become_mta_queue(context, {"list"});
  if (entries->empty()) print("Mail queue is empty\n");
  return 0;
}

/// The user's own outbox, then the host's queue, where the user may work on it.
int run_queue(const Context& context, const std::vector<std::string>& words) {
  std::string own[] = {"mua", "flush"};
  char* arguments[] = {own[0].data(), own[1].data(), nullptr};
  const int code = run_mua(2, arguments);
  if (::geteuid() == 0) become_mta_queue(context, words);
  return code;
}

}  // namespace

int run_sendmail(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    print("sendmail (Relais) " RELAIS_VERSION "\n");
    return 0;
  }
  std::string_view name = argv[0];
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  const auto options = parse_options(argc, argv, name);
  if (!options) return complain(options.error().text, EX_USAGE);
  Context context;
  context.config_files = options->config_files;
  switch (options->mode) {
    case 'm':
      return deliver(context, *options);
    case 's':
      return speak_smtp(context);
    case 'p':
      return show_queue(context);
    case 'v':
      return verify(context, options->recipients);
    case 'i':
      return 0;  // the aliases file is read as it stands: there is nothing to build
    case 'q':
      return run_queue(context, options->queue_run);
    default:
      return complain(
          concat({"-b", std::string(1, options->mode), " is none of this program's modes: mta(8) is the daemon"}),
          EX_USAGE);
  }
}

}  // namespace mail::mua
