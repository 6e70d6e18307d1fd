# Lena: does not compile.
class Adam
    pass
