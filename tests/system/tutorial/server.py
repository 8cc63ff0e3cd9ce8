import socket
import threading
import time
# 建立Socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.bind(('127.0.0.1', 9999))
# 开始监听端口
s.listen(5)
print('Waiting for connection...')
def tcplink(sock, addr):
    print('Accept new connection from %s:%s...' % addr)
    # 发送数据
    sock.send(b'Welcome!')
    # 接收数据
    while True:
        data = sock.recv(1024)
        time.sleep(1)
        if not data or data.decode('utf-8') == 'exit':
            break
        sock.send(('Hello, %s!' % data.decode('utf-8')).encode('utf-8'))
    # 关闭Socket
    sock.close()
    print('Connection from %s:%s closed.' % addr)
# 等待连接
while True:
    sock, addr = s.accept()
    # 建立新进程
    t = threading.Thread(target=tcplink, args=(sock, addr))
    t.start()
