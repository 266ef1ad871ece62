// send, reply, forward, flush.
#include <sysexits.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/strings.h"
#include "message/encoded_word.h"
#include "message/header.h"
#include "message/thread.h"
#include "mua/context.h"
#include "mua/render.h"
#include "mua/text.h"
#include "mua/write_input.h"

namespace mail::mua {

namespace {

/// What send, reply and forward have in common.
struct WriteOptions {
  std::vector<std::string> recipients, cc, bcc, attachments, fields;
  std::string from, subject, body, html, dsn, ret, envid, type, sender;
  bool dry_run = false;
};

void add_write_options(CLI::App& command, WriteOptions& options) {
  command.add_option("--cc", options.cc, "Copies to (repeatable)")->allow_extra_args(false);
  command.add_option("--bcc", options.bcc, "Hidden copies to (repeatable)")->allow_extra_args(false);
  command.add_option("--from", options.from, "Instead of the account's address");
  command.add_option("--sender", options.sender, "Reverse-path of the envelope, where it is not From; <> for none");
  command.add_option("-a,--attach", options.attachments, "A file to go along (repeatable)")->allow_extra_args(false);
  command.add_option("-H,--header", options.fields, "One more header field, \"Name: text\" (repeatable)")
      ->allow_extra_args(false);
  command.add_option(
      "-b,--body", options.body,
      "File with the text; - is standard input; without: $VISUAL or $EDITOR on a terminal, else standard input");
  command.add_option("--html", options.html, "File with the same text as HTML");
  command.add_option("--dsn", options.dsn, "Ask for delivery notices: success,failure,delay or never");
  command.add_option("--ret", options.ret, "What comes back in a notice: full or hdrs");
  command.add_option("--envid", options.envid, "Name of this sending in notices");
  command.add_flag("--dry-run", options.dry_run, "Print the message instead of sending it");
}

Status add_addresses(const std::vector<std::string>& texts, std::string_view domain,
                     std::vector<message::Address>& to) {
  for (const auto& text : texts) {
    MAIL_TRY(parsed, parse_typed_addresses(text, domain));
    to.insert(to.end(), parsed.begin(), parsed.end());
  }
  return {};
}

Status fill_draft(const Context& context, const WriteOptions& options, std::string_view domain, Draft& draft) {
  (void)context;
  MAIL_CHECK(add_addresses(options.recipients, domain, draft.to));
  MAIL_CHECK(add_addresses(options.cc, domain, draft.cc));
  MAIL_CHECK(add_addresses(options.bcc, domain, draft.bcc));
  for (const auto& field : options.fields) {
    const auto [name, value] = split_once(field, ':');
    if (name.size() == field.size())
      return fail(Error::Kind::syntax, concat({"\"", field, "\" is no header field: \"Name: text\" is"}));
    draft.fields.emplace_back(name, trim(value));
  }
  for (const auto& file : options.attachments) {
    MAIL_TRY(attachment, read_attachment(file, {}));
    draft.attachments.push_back(std::move(attachment));
  }
  if (!options.html.empty()) {
    MAIL_TRY(html, read_body(options.html, {}));
    draft.html = html;
  }
  if (!options.dsn.empty()) {
    MAIL_TRY(notify, parse_notify(options.dsn));
    draft.notify = notify;
  }
  if (!options.ret.empty() && !iequals(options.ret, "full") && !iequals(options.ret, "hdrs"))
    return fail(Error::Kind::syntax, "--ret is full or hdrs");
  if (!options.ret.empty())
    draft.return_content =
        iequals(options.ret, "full") ? spool::ReturnContent::full : spool::ReturnContent::header_fields;
  draft.envelope_id = options.envid;
  draft.null_sender = options.sender == "<>";
  if (!draft.null_sender && !options.sender.empty()) {
    MAIL_TRY(parsed, parse_typed_addresses(options.sender, domain));
    draft.sender = message::addr_spec(parsed.front());
  }
  return {};
}

/// Composes and sends; with --dry-run prints.
int finish(const Context& context, const AccountSettings& account, const Draft& draft, bool dry_run) {
  const auto way = context.way(account);
  if (!way) return complain(way.error().text, EX_CONFIG);
  const auto outgoing = compose(draft, way->host_name);
  if (!outgoing) return complain(outgoing.error());
  if (dry_run) {
    print(context.json ? octets_json(outgoing->content, {}) + "\n" : outgoing->content);
    return 0;
  }
  const auto sent = send(*outgoing, *way, context.outbox_path());
  if (!sent) return complain(sent.error());
  static constexpr std::array<std::string_view, 3> kHow{"spooled", "submitted", "kept"};
  const auto how = kHow[static_cast<std::size_t>(sent->how)];
  if (sent->how == Sent::How::kept)
    complain(concat({"not sent now, kept in ", context.outbox_path(), " for mua flush: ", sent->detail}), 0);
  if (!account.sent.empty() && !account.store.empty()) {
    // The message is on its way; that a copy could not be kept is told, and is no failure to send.
    auto store = context.store();
    const auto kept =
        store ? (*store)->append(account.sent, outgoing->content, {"seen"}) : Status(tl::unexpected(store.error()));
    if (!kept)
      complain(concat({"the message was sent, but no copy was kept in ", account.sent, ": ", kept.error().text}), 0);
  }
  if (context.json) {
    const auto id = message::parse_message_id(message::HeaderFields(outgoing->content).find("Message-ID").value_or(""));
    print(Json::object({{"id", Json::string(outgoing->envelope.id.text())},
                        {"message_id", Json::string(id)},
                        {"how", Json::string(how)},
                        {"detail", Json::string(sent->detail)}}) +
          "\n");
  }
  return 0;
}

struct Prepared {
  AccountSettings account;
  Draft draft;
};
Result<Prepared> prepare(const Context& context, const WriteOptions& options) {
  Prepared out;
  MAIL_TRY(account, context.account());
  out.account = account;
  MAIL_TRY(settings, context.host_settings());
  MAIL_TRY(from, context.from(account, options.from));
  out.draft.from = from;
  MAIL_CHECK(fill_draft(context, options, local_domain(settings), out.draft));
  return out;
}

int send_command(const Context& context, const WriteOptions& options) {
  auto prepared = prepare(context, options);
  if (!prepared)
    return complain(prepared.error().text,
                    prepared.error().kind == Error::Kind::syntax ? EX_USAGE : exit_code(prepared.error()));
  auto& draft = prepared->draft;
  if (draft.to.empty() && draft.cc.empty() && draft.bcc.empty()) return complain("there is no recipient", EX_USAGE);
  draft.subject = options.subject;
  const auto& signature = prepared->account.signature;
  auto body = read_body(options.body, signature.empty() ? std::string() : concat({"\n-- \n", signature, "\n"}));
  if (!body) return complain(body.error());
  draft.body = std::move(*body);
  const int code = finish(context, prepared->account, draft, options.dry_run);
  if (code != 0 && uses_editor(options.body)) keep_written(draft.body, context.outbox_path());
  return code;
}

struct Original {
  std::unique_ptr<Source> source;
  std::uint32_t id = 0;
  std::string text;
};
Result<Original> fetch_original(const Context& context, const std::string& which) {
  auto source = context.source(false);
  if (!source) return tl::unexpected(source.error());
  MAIL_TRY(set, IdSet::parse(which));
  MAIL_TRY(all, (*source)->ids());
  const auto ids = select_ids(set, all);
  if (ids.size() != 1)
    return fail(
        ids.empty() ? Error::Kind::not_found : Error::Kind::syntax,
        concat({"\"", which, "\" is ", ids.empty() ? "no message" : "more than one message", " of ", context.folder}));
  MAIL_TRY(text, (*source)->fetch(ids.front()));
  return Original{std::move(*source), ids.front(), std::move(text)};
}

std::string quote_lines(std::string_view text) {
  std::string out;
  for (const auto line : split(text.ends_with('\n') ? text.substr(0, text.size() - 1) : text, '\n'))
    out += concat({line.starts_with('>') ? ">" : "> ", line, "\n"});
  return out;
}

bool is_same(const message::Address& a, const message::Address& b) {
  return iequals(message::addr_spec(a), message::addr_spec(b));
}

/// Whom a reply goes to: Reply-To or From; with `all` To and Cc too, ourselves left out.
void address_reply(const message::Tree& tree, bool all, Draft& draft) {
  const auto field = [&](message::KnownField f) {
    return message::parse_mailboxes(tree.field(tree.root(), f).value_or(std::string_view()));
  };
  auto to = field(message::KnownField::reply_to);
  if (to.empty()) to = field(message::KnownField::from);
  const auto known = [&](const message::Address& address) {
    const auto same = [&](const message::Address& other) { return is_same(address, other); };
    return std::ranges::any_of(draft.to, same) || std::ranges::any_of(draft.cc, same);
  };
  for (auto& address : to) {
    address.display_name = message::decode_header_text(address.display_name);
    if (!known(address)) draft.to.push_back(std::move(address));
  }
  if (!all) return;
  for (const auto other : {message::KnownField::to, message::KnownField::cc})
    for (auto& address : field(other)) {
      if (address.domain.empty() || known(address) ||
          std::ranges::any_of(draft.from, [&](const auto& own) { return is_same(own, address); }))
        continue;
      address.display_name = message::decode_header_text(address.display_name);
      draft.cc.push_back(std::move(address));
    }
}

int reply_command(const Context& context, const std::string& which, const WriteOptions& options, bool all,
                  bool no_quote) {
  auto prepared = prepare(context, options);
  if (!prepared) return complain(prepared.error());
  auto original = fetch_original(context, which);
  if (!original) return complain(original.error());
  const auto tree = message::parse(original->text);
  auto& draft = prepared->draft;
  address_reply(tree, all, draft);
  const auto header = [&](message::KnownField f) { return tree.field(tree.root(), f).value_or(std::string_view()); };
  const auto subject = message::decode_header_text(header(message::KnownField::subject));
  draft.subject = !options.subject.empty()       ? options.subject
                  : istarts_with(subject, "Re:") ? subject
                                                 : "Re: " + subject;
  draft.in_reply_to = message::parse_message_id(header(message::KnownField::message_id));
  draft.references = message::parse_message_ids(header(message::KnownField::references));
  if (draft.references.empty()) draft.references = message::parse_message_ids(header(message::KnownField::in_reply_to));
  if (!draft.in_reply_to.empty()) draft.references.push_back(draft.in_reply_to);
  // RFC 5322 section 3.6.4 sets no limit; the first and the last say where the thread is.
  constexpr std::size_t kMostReferences = 50;
  if (draft.references.size() > kMostReferences)
    draft.references.erase(draft.references.begin() + 1, draft.references.end() - (kMostReferences - 1));
  std::string quote;
  if (!no_quote) {
    const auto from = message::parse_mailboxes(header(message::KnownField::from));
    quote = concat({"On ", message::decode_header_text(header(message::KnownField::date)), ", ",
                    from.empty() ? "somebody" : message::to_display(from.front()), " wrote:\n",
                    quote_lines(render_text(tree))});
  }
  const bool in_editor = uses_editor(options.body);
  auto body = read_body(options.body, "\n" + quote);
  if (!body) return complain(body.error());
  draft.body =
      in_editor || quote.empty() ? std::move(*body) : concat({*body, body->ends_with('\n') ? "\n" : "\n\n", quote});
  const int code = finish(context, prepared->account, draft, options.dry_run);
  if (code != 0 && in_editor) keep_written(draft.body, context.outbox_path());
  if (code == 0 && !options.dry_run) (void)original->source->flag({original->id}, {"answered", "seen"}, {});
  return code;
}

int forward_command(const Context& context, const std::string& which, const WriteOptions& options, bool as_text) {
  auto prepared = prepare(context, options);
  if (!prepared) return complain(prepared.error());
  auto original = fetch_original(context, which);
  if (!original) return complain(original.error());
  const auto tree = message::parse(original->text);
  auto& draft = prepared->draft;
  const auto subject =
      message::decode_header_text(tree.field(tree.root(), message::KnownField::subject).value_or(std::string_view()));
  draft.subject = options.subject.empty() ? "Fwd: " + subject : options.subject;
  const bool silent = options.body.empty() && ::isatty(STDIN_FILENO) == 0;
  std::string text;
  if (!silent || options.body == "-") {
    auto body = read_body(options.body, {});
    if (!body) return complain(body.error());
    text = std::move(*body);
  }
  if (as_text) {
    draft.body =
        concat({text, text.empty() ? "" : "\n", "---------- Forwarded message ----------\n", render_message(tree)});
  } else {
    draft.body = text;
    draft.forwarded = original->text;
  }
  const int code = finish(context, prepared->account, draft, options.dry_run);
  if (code != 0 && uses_editor(options.body)) keep_written(text, context.outbox_path());
  if (code == 0 && !options.dry_run) (void)original->source->flag({original->id}, {"$Forwarded"}, {});
  return code;
}

int flush_command(const Context& context) {
  const auto account = context.account();
  if (!account) return complain(account.error());
  const auto way = context.way(*account);
  if (!way) return complain(way.error().text, EX_CONFIG);
  const auto flushed = flush_outbox(*way, context.outbox_path());
  if (!flushed) return complain(flushed.error());
  int worst = 0;
  for (const auto& error : flushed->errors) worst = std::max(worst, complain(error));
  if (context.json) print(Json::object({{"sent", decimal(flushed->sent)}, {"left", decimal(flushed->left)}}) + "\n");
  return worst;
}

}  // namespace

void add_write_commands(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("send", "Send a message");
  auto send_options = std::make_shared<WriteOptions>();
  command->add_option("TO", send_options->recipients, "Recipients");
  command->add_option("-s,--subject", send_options->subject, "Subject");
  add_write_options(*command, *send_options);
  command->callback([&context, send_options] {
    context.run = [&context, send_options] { return send_command(context, *send_options); };
  });

  struct AnswerOptions : WriteOptions {
    std::string id;
    bool all = false, no_quote = false, as_text = false;
  };
  command = app.add_subcommand("reply", "Answer a message");
  auto reply_options = std::make_shared<AnswerOptions>();
  command->add_option("ID", reply_options->id, "The message")->required();
  command->add_option("-s,--subject", reply_options->subject, "Instead of Re: …");
  command->add_option("--to", reply_options->recipients, "More recipients (repeatable)")->allow_extra_args(false);
  command->add_flag("--all", reply_options->all, "To all who got it");
  command->add_flag("--no-quote", reply_options->no_quote, "Without the text that is answered");
  add_write_options(*command, *reply_options);
  command->callback([&context, reply_options] {
    context.run = [&context, reply_options] {
      return reply_command(context, reply_options->id, *reply_options, reply_options->all, reply_options->no_quote);
    };
  });

  command = app.add_subcommand("forward", "Send a message on, as an attachment of its own kind");
  auto forward_options = std::make_shared<AnswerOptions>();
  command->add_option("ID", forward_options->id, "The message")->required();
  command->add_option("TO", forward_options->recipients, "Recipients")->required();
  command->add_option("-s,--subject", forward_options->subject, "Instead of Fwd: …");
  command->add_flag("--inline", forward_options->as_text, "As text within the message");
  add_write_options(*command, *forward_options);
  command->callback([&context, forward_options] {
    context.run = [&context, forward_options] {
      return forward_command(context, forward_options->id, *forward_options, forward_options->as_text);
    };
  });

  command = app.add_subcommand("flush", "Send what waits in the outbox");
  command->callback([&context] { context.run = [&context] { return flush_command(context); }; });
}

}  // namespace mail::mua
