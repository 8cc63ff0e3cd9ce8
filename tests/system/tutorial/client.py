import socket
# 建立连接
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.connect(('127.0.0.1', 9999))
print(s.recv(1024).decode('utf-8'))
# 发送数据
for data in [b'haha', b'you are loser', b'byebye']:
    s.send(data)
    print(s.recv(1024).decode('utf-8'))
s.send(b'exit')
# 关闭连接
s.close()
