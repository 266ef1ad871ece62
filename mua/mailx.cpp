// mail and mailx as scripts call them (POSIX mailx, and the options that BSD's, GNU's and Heirloom's have in common).
#include <fcntl.h>
#include <sysexits.h>
#include <unistd.h>

#include <algorithm>

#include "base/strings.h"
#include "mua/context.h"
#include "mua/text.h"
#include "mua/write_input.h"

namespace mail::mua {

namespace {

struct MailxOptions {
  Context context;
  std::string subject, from, file;
  std::vector<std::string> recipients, cc, bcc, attachments, fields;
  bool skip_empty = false;   ///< -E
  bool only_check = false;   ///< -e
  bool list = false;         ///< -H
  bool from_header = false;  ///< -t
};

/// "-a" is an attachment for Heirloom's mailx and a header field for BSD's: a file that is there decides.
void take_a(MailxOptions& options, const std::string& value) {
  const bool is_file = ::access(value.c_str(), F_OK) == 0;
  const auto colon = value.find(':');
  if (!is_file && colon != std::string::npos && value.find('/') > colon) {
    options.fields.push_back(value);
  } else {
    options.attachments.push_back(value);
  }
}

Result<MailxOptions> parse_options(int argc, char** argv) {
  MailxOptions options;
  bool ended = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (ended || word.size() < 2 || word.front() != '-') {
      options.recipients.emplace_back(word);
      continue;
    }
    if (word == "--") {
      ended = true;
      continue;
    }
    for (std::size_t at = 1; at < word.size(); ++at) {
      const char letter = word[at];
      const bool takes_value = std::string_view("sacbrAfuqSCM").find(letter) != std::string_view::npos;
      std::string value;
      if (takes_value) {
        value = word.substr(at + 1);
        at = word.size();
        if (value.empty() && letter != 'f') {
          if (i + 1 >= argc)
            return fail(Error::Kind::syntax, concat({"option -", std::string(1, letter), " needs a value"}));
          value = argv[++i];
        }
      }
      switch (letter) {
        case 's':
          options.subject = value;
          break;
        case 'a':
          take_a(options, value);
          break;
        case 'A':
          options.attachments.push_back(value);
          break;
        case 'c':
          options.cc.push_back(value);
          break;
        case 'b':
          options.bcc.push_back(value);
          break;
        case 'r':
          options.from = value;
          break;
        case 'q':
          options.file = value;
          break;
        case 'f':
          options.context.url = !value.empty() ? value : i + 1 < argc ? std::string(argv[++i]) : std::string();
          options.list = true;
          break;
        case 'C':
          options.context.config_files.push_back(value);
          break;
        case 'E':
          options.skip_empty = true;
          break;
        case 'e':
          options.only_check = true;
          break;
        case 'H':
          options.list = true;
          break;
        case 't':
          options.from_header = true;
          break;
        // Settings of the interactive programs: without meaning here.
        case 'u':
        case 'S':
        case 'M':
        case 'B':
        case 'd':
        case 'F':
        case 'I':
        case 'i':
        case 'n':
        case 'N':
        case 'v':
        case 'w':
        case '~':
          break;
        default:
          return fail(Error::Kind::syntax, concat({"unknown option -", std::string(1, letter)}));
      }
    }
  }
  return options;
}

int check_for_mail(const Context& context) {
  auto source = context.source(true);
  if (!source) return 1;
  const auto ids = (*source)->ids();
  return ids && !ids->empty() ? 0 : 1;
}

/// As another of this program's names.
int call(int (*program)(int, char**), std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  return program(static_cast<int>(words.size()), arguments.data());
}

int list_mail(const Context& context) {
  std::vector<std::string> words{"mua", "list"};
  if (!context.url.empty()) words.insert(words.end(), {"--url", context.url});
  return call(run_mua, std::move(words));
}

/// -t: the text is a message with its own header, as for sendmail -t.
int send_as_it_is(const MailxOptions& options) {
  std::vector<std::string> words{"sendmail", "-t", "-oi"};
  if (!options.from.empty()) words.insert(words.end(), {"-f", options.from});
  for (const auto& file : options.context.config_files) words.insert(words.end(), {"-C", file});
  words.emplace_back("--");
  words.insert(words.end(), options.recipients.begin(), options.recipients.end());
  return call(run_sendmail, std::move(words));
}

Status add(const std::vector<std::string>& texts, std::string_view domain, std::vector<message::Address>& to) {
  for (const auto& text : texts) {
    MAIL_TRY(parsed, parse_typed_addresses(text, domain));
    to.insert(to.end(), parsed.begin(), parsed.end());
  }
  return {};
}

Result<Draft> make_draft(const MailxOptions& options, const AccountSettings& account, std::string_view domain) {
  Draft draft;
  MAIL_TRY(from, options.context.from(account, options.from));
  draft.from = from;
  draft.subject = options.subject;
  MAIL_CHECK(add(options.recipients, domain, draft.to));
  MAIL_CHECK(add(options.cc, domain, draft.cc));
  MAIL_CHECK(add(options.bcc, domain, draft.bcc));
  for (const auto& file : options.attachments) {
    MAIL_TRY(attachment, read_attachment(file, {}));
    draft.attachments.push_back(std::move(attachment));
  }
  for (const auto& field : options.fields) {
    const auto [name, value] = split_once(field, ':');
    draft.fields.emplace_back(trim(name), trim(value));
  }
  return draft;
}

}  // namespace

int run_mailx(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    print("mail (Relais) " RELAIS_VERSION "\n");
    return 0;
  }
  const auto options = parse_options(argc, argv);
  if (!options) return complain(options.error().text, EX_USAGE);
  if (options->only_check) return check_for_mail(options->context);
  const bool written = !options->subject.empty() || !options->cc.empty() || !options->bcc.empty() ||
                       !options->attachments.empty() || !options->fields.empty() || !options->file.empty();
  if (options->from_header && (written || options->list))
    return complain("with -t subject, copies and files are for the text's own header", EX_USAGE);
  if (options->from_header) return send_as_it_is(*options);
  // What is on standard input would be lost, and the caller would think that it was sent.
  if (options->recipients.empty() && !options->list && written) return complain("there is no recipient", EX_USAGE);
  if (options->recipients.empty() || options->list) return list_mail(options->context);
  const auto& context = options->context;
  const auto sending = context.sending();
  if (!sending) return complain(sending.error().text, EX_CONFIG);
  auto draft = make_draft(*options, sending->account, sending->domain);
  if (!draft)
    return complain(draft.error().text,
                    draft.error().kind == Error::Kind::syntax ? EX_USAGE : exit_code(draft.error()));
  auto body = options->file.empty() ? read_all(STDIN_FILENO, kMostInput) : read_body(options->file, {});
  if (!body) return complain(body.error());
  if (options->skip_empty && body->empty()) return 0;
  draft->body = std::move(*body);
  const auto outgoing = compose(*draft, sending->way.host_name);
  if (!outgoing) return complain(outgoing.error());
  const auto sent = send(*outgoing, sending->way, context.outbox_path());
  if (!sent) return complain(sent.error());
  if (sent->how == Sent::How::kept)
    complain(concat({"not sent now, kept in ", context.outbox_path(), ": ", sent->detail}), 0);
  return 0;
}

}  // namespace mail::mua
