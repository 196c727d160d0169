/* log.c - one mutex keeps lines whole; the progress line is wiped before a log line. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static enum ot_log_level max_level = OT_LOG_INFO;
static FILE *file;
static bool glog; /* on stderr too */
static bool progress_shown;
static double progress_at = -1e9;

static void wipe(void)
{
    if (progress_shown)
        (void)fputs("\r\033[K", stderr);
    progress_shown = false;
}

/* One line as glog writes it, year left out: Caffe's parsers take the two digits after the letter
 * for the month. */
static void put_glog(FILE *f, enum ot_log_level level, const char *src, int src_line,
                     const char *text, int len)
{
    static const char letter[] = "EWII";
    const char *slash = strrchr(src, '/');
    struct timespec now;
    struct tm tm;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)localtime_r(&now.tv_sec, &tm);
    (void)fprintf(f, "%c%02d%02d %02d:%02d:%02d.%06ld %5ld %s:%d] %.*s\n", letter[level],
                  tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000,
                  (long)getpid(), slash ? slash + 1 : src, src_line, len, text);
}

void ot_log_at(enum ot_log_level level, const char *module, const char *src, int src_line,
               const char *fmt, ...)
{
    static const char *const mark[] = { "error: ", "warning: ", "", "" };
    char text[2048], line[2200];
    va_list ap;
    int len;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    len = snprintf(line, sizeof line, "%s: %s%s", module, mark[level], text);
    (void)pthread_mutex_lock(&lock);
    if (level <= max_level) {
        wipe();
        if (glog)
            put_glog(stderr, level, src, src_line, line, len);
        else
            (void)fprintf(stderr, "%8.3fs %s\n", ot_now_s(), line);
    }
    if (file && (level <= OT_LOG_INFO || level <= max_level)) {
        put_glog(file, level, src, src_line, line, len);
        (void)fflush(file);
    }
    (void)pthread_mutex_unlock(&lock);
}

void ot_log_err(const char *module, const struct ot_err *err)
{
    char line[1200];

    ot_log(OT_LOG_ERROR, module, "%s", ot_err_str(err, line, sizeof line));
    ot_log(OT_LOG_DEBUG, module, "raised at %s:%d", err->src ? err->src : "?", err->src_line);
}

void ot_log_set_level(enum ot_log_level level)
{
    (void)pthread_mutex_lock(&lock);
    max_level = level;
    (void)pthread_mutex_unlock(&lock);
}

int ot_log_open(const char *path, struct ot_err *err)
{
    FILE *f = fopen(path, "a");

    if (!f)
        return ot_fail_sys(err, OT_ECREATE, errno, "log file '%s'", path);
    ot_log_close();
    (void)pthread_mutex_lock(&lock);
    file = f;
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

void ot_log_close(void)
{
    (void)pthread_mutex_lock(&lock);
    if (file)
        (void)fclose(file);
    file = NULL;
    (void)pthread_mutex_unlock(&lock);
}

void ot_log_glog(void)
{
    (void)pthread_mutex_lock(&lock);
    glog = true;
    (void)pthread_mutex_unlock(&lock);
}

void ot_log_lines(const char *src, int src_line, const char *text)
{
    (void)pthread_mutex_lock(&lock);
    while (*text) {
        int n = (int)strcspn(text, "\n");

        if (file)
            put_glog(file, OT_LOG_INFO, src, src_line, text, n);
        if (glog && max_level >= OT_LOG_INFO)
            put_glog(stderr, OT_LOG_INFO, src, src_line, text, n);
        text += n + (text[n] == '\n');
    }
    if (file)
        (void)fflush(file);
    (void)pthread_mutex_unlock(&lock);
}

void ot_progress(const char *text, bool force)
{
    double now = ot_now_s();

    (void)pthread_mutex_lock(&lock);
    if (max_level >= OT_LOG_INFO && !glog) {
        if (isatty(STDERR_FILENO)) {
            wipe();
            (void)fputs(text, stderr);
            (void)fflush(stderr);
            progress_shown = true;
        } else if (force || now - progress_at >= 10) {
            (void)fprintf(stderr, "%s\n", text);
            progress_at = now;
        }
    }
    (void)pthread_mutex_unlock(&lock);
}

void ot_progress_end(void)
{
    (void)pthread_mutex_lock(&lock);
    if (progress_shown)
        (void)fputc('\n', stderr);
    progress_shown = false;
    (void)pthread_mutex_unlock(&lock);
}

void ot_out(const char *fmt, ...)
{
    va_list ap;

    (void)pthread_mutex_lock(&lock);
    wipe();
    va_start(ap, fmt);
    (void)vfprintf(stdout, fmt, ap);
    va_end(ap);
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&lock);
}
