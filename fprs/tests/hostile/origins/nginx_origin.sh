# Runs nginx on $PORT. It notes each whole request that it reads, one line of JSON in $RECORD, and answers its
# target. A body is only kept where it goes on to somebody, so it goes to nginx itself.
set -eu
dir=$RECORD.nginx
mkdir -p "$dir/tmp"
cat >"$dir/nginx.conf" <<CONF
daemon off;
master_process off;
pid $dir/pid;
error_log stderr crit;
events {}
http {
  client_body_temp_path $dir/tmp/body;
  proxy_temp_path $dir/tmp/proxy;
  fastcgi_temp_path $dir/tmp/fastcgi;
  uwsgi_temp_path $dir/tmp/uwsgi;
  scgi_temp_path $dir/tmp/scgi;
  client_body_in_single_buffer on;
  client_body_buffer_size 1m;
  large_client_header_buffers 4 128k;
  map \$status \$whole { 200 1; default 0; }
  log_format seen escape=json '{"method":"\$request_method","target":"\$request_uri","host":"\$http_host",'
    '"body":"\$request_body","x-a":"\$http_x_a","cookie":"\$http_cookie",'
    '"content-length":"\$http_content_length","transfer-encoding":"\$http_transfer_encoding"}';
  server {
    listen 127.0.0.1:$PORT;
    access_log $RECORD seen if=\$whole;
    location / {
      proxy_pass http://unix:$dir/inner;
    }
  }
  server {
    listen unix:$dir/inner;
    access_log off;
    location / {
      return 200 \$request_uri;
    }
  }
}
CONF
PATH=$PATH:/usr/sbin exec nginx -e stderr -p "$dir" -c "$dir/nginx.conf"
